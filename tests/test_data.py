"""Which pictures a folder or .zip gives, in which classes, and how a wrong one is refused."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import threading
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shufflenet.files import Archive
from shufflenet.pictures import images
from shufflenet.pictures.dataset import DataError, Picture, Split, open_dataset, open_split
from shufflenet.pictures.held_out import pictures_to_measure, record
from shufflenet.pictures.images import ImageError


def picture(path: Path, colour: tuple[int, int, int] = (200, 30, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 32), colour).save(path)


def folder(root: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> Path:
    for split in splits:
        for name in ("bird", "ant"):
            for index in range(count):
                picture(root / split / name / f"{index}.png")
    return root


def names(split: Split, root: Path) -> list[str]:
    return [os.path.relpath(picture.name, root) for picture in split.pictures]


def test_train_and_val_sorted_by_name(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path))
    assert dataset.classes == dataset.labels == ["ant", "bird"]
    assert names(dataset.train, tmp_path) == [f"train/{name}/{i}.png" for name in ("ant", "bird") for i in range(3)]
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert names(dataset.val, tmp_path)[0] == "val/ant/0.png"


def test_zip_gives_the_same_as_the_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets")
    picture(root / "train" / "ant" / "deeper" / "x.png", (1, 2, 3))
    (root / "classes.tsv").write_text("ant\tthe ant\nbird\tthe bird\n")
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*"), reverse=True):
            file.write(path, path.relative_to(tmp_path))
        file.writestr("__MACOSX/pets/train/ant/._0.png", b"")
    of_folder, of_zip = open_dataset(root), open_dataset(archive)
    assert of_zip.labels == of_folder.labels == ["the ant", "the bird"]
    assert of_zip.train.targets.tolist() == of_folder.train.targets.tolist()
    assert of_zip.train.fingerprint() == of_folder.train.fingerprint()
    assert names(of_zip.train, archive / "pets") == names(of_folder.train, root)
    for a, b in zip(of_zip.train.pictures, of_folder.train.pictures, strict=True):
        np.testing.assert_array_equal(np.asarray(a.decode()), np.asarray(b.decode()))


def test_damaged_table_in_a_zip_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets")
    (root / "classes.tsv").write_text("ant\tthe ant\nbird\tthe bird\n" + "\n" * 1000)
    archive = shutil.make_archive(str(root), "zip", root)
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("classes.tsv")
    content = bytearray(Path(archive).read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start : start + info.compress_size] = b"\xff" * info.compress_size
    Path(archive).write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.zip/classes\.tsv: damaged \.zip"):
        open_dataset(Path(archive))


def test_a_member_that_may_unpack_to_anything_is_refused(tmp_path: Path) -> None:
    """Python unpacks all of what bzip2 or LZMA packed, whatever size the archive says."""
    root = folder(tmp_path / "pets")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w", zipfile.ZIP_LZMA) as file:
        for path in sorted(root.rglob("*")):
            file.write(path, path.relative_to(tmp_path))
    picture = open_dataset(tmp_path / "pets.zip").train.pictures[0]
    with pytest.raises(ImageError, match=r"pets\.zip/pets/train/ant/0\.png: .*neither stored nor deflated"):
        picture.decode()


def test_a_huge_member_of_a_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-0.tar").write_bytes(b"")
    picture = Picture("train-0.tar/a.jpg", 1 << 40, tmp_path / "train-0.tar", "a.jpg", 512)
    with pytest.raises(ImageError, match=r"a\.jpg: 1,099,511,627,776 bytes, too large"):
        picture.decode()


def test_damaged_member_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "pets")
    (tmp_path / "pets/train/ant/0.png").write_bytes(b"no picture at all")
    shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path, "pets")
    broken = open_dataset(tmp_path / "pets.zip").train.pictures[0]
    with pytest.raises(ImageError, match=r"pets\.zip/pets/train/ant/0\.png: not a picture"):
        broken.decode()


def test_one_folder_is_split_by_class(tmp_path: Path) -> None:
    root = folder(tmp_path, splits=(".",), count=10)
    dataset = open_dataset(root, val_fraction=0.3)
    assert np.bincount(dataset.train.targets).tolist() == [7, 7]
    assert np.bincount(dataset.val.targets).tolist() == [3, 3]
    assert not set(names(dataset.train, root)) & set(names(dataset.val, root))
    picture(root / "ant" / "new.png")
    again = open_dataset(root, val_fraction=0.3)
    assert names(dataset.val, root)[3:] == names(again.val, root)[3:], "the other class"
    assert len(set(names(again.val, root)) ^ set(names(dataset.val, root))) <= 2
    assert len(open_dataset(root).val) == 4, "a fifth unless told"


@pytest.mark.parametrize(
    ("train", "val"),
    [("Train", "Val"), ("training", "validation"), ("train", "valid"), ("TRAIN", "Test"), ("Training", "testing")],
)
def test_other_names_of_train_and_val(tmp_path: Path, train: str, val: str) -> None:
    root = folder(tmp_path, (train, val))
    dataset = open_dataset(root)
    assert dataset.classes == ["ant", "bird"]
    assert names(dataset.train, root)[0] == f"{train}/ant/0.png"
    assert names(dataset.val, root)[0] == f"{val}/ant/0.png"
    assert dataset.notes == ()
    assert dataset.describe() == (
        f"train     6 pictures: {root}/{train}\nval       6 pictures: {root}/{val}\nclasses   2: ant, bird"
    )
    assert names(open_split(root, ["ant", "bird"]), root) == names(dataset.val, root)


def test_a_third_folder_is_left_out_aloud(tmp_path: Path) -> None:
    root = folder(tmp_path, ("train", "valid", "test"))
    picture(root / "readme.png")
    dataset = open_dataset(root)
    assert names(dataset.val, root)[0] == "valid/ant/0.png"
    assert dataset.notes == (
        f"{root}/test is left out: 6 pictures",
        "pictures outside train/ and valid/ are left out: 1",
    )
    assert f"\nnote      {root}/test is left out: 6 pictures\n" in dataset.describe()


def test_pictures_without_classes_are_no_val(tmp_path: Path) -> None:
    root = folder(tmp_path, ("train",), count=5)
    picture(root / "test" / "1.png")
    dataset = open_dataset(root)
    assert len(dataset.val) == 2
    assert dataset.notes == (f"{root}/test is left out, since it holds no class folders: 1 pictures",)
    assert f"val       2 pictures: 20% of each class in {root}/train" in dataset.describe()


def test_a_class_of_nothing_but_folders_is_told(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for index in range(3):
            picture(tmp_path / "Images" / name / f"{index}.png")
            picture(tmp_path / "Masks" / f"{name}{index}.png")
    assert open_dataset(tmp_path).notes == (
        f"{tmp_path}/Images is one class, though it holds nothing but folders (cat, dog)",
    )


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("car", "train"):
        for index in range(3):
            picture(tmp_path / name / f"{index}.png")
    assert open_dataset(tmp_path).classes == ["car", "train"]


def test_train_alone_is_split(tmp_path: Path) -> None:
    assert len(open_dataset(folder(tmp_path, ("train",), count=5)).val) == 2


def test_fingerprint_changes_with_the_data(tmp_path: Path) -> None:
    root = folder(tmp_path)
    before = open_dataset(root).train.fingerprint()
    picture(root / "train/ant/more.png")
    assert open_dataset(root).train.fingerprint() != before


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    root = folder(tmp_path / "a")
    (root / "train/ant/loop").symlink_to(root / "train")
    shutil.move(root / "train/bird", tmp_path / "elsewhere")
    (root / "train/bird").symlink_to(tmp_path / "elsewhere")
    assert len(open_dataset(root).train) == 6


def test_two_classes_can_link_to_one_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", count=2)
    shutil.move(root / "val", tmp_path / "pool")
    for name in ("bird", "ant"):
        (root / f"train/{name}/more").symlink_to(tmp_path / "pool/ant")
    (root / "val").symlink_to(root / "train")
    dataset = open_dataset(root)
    assert np.bincount(dataset.train.targets).tolist() == [4, 4]
    assert np.bincount(dataset.val.targets).tolist() == [4, 4]


def test_doubled_labels_get_their_folder_names(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "classes.tsv").write_text("ant\tcrane\nbird\tcrane\n")
    assert open_dataset(root).labels == ["crane (ant)", "crane (bird)"]


def damage(root: Path, kind: str) -> float | None:
    if kind == "empty class":
        shutil.rmtree(root / "train/ant")
        (root / "train/ant").mkdir()
    elif kind == "only in train":
        shutil.rmtree(root / "val/ant")
    elif kind == "only in val":
        shutil.rmtree(root / "train/ant")
        picture(root / "train/cat/1.png")
        picture(root / "val/cat/1.png")
    elif kind == "one class":
        shutil.rmtree(root / "train/ant")
    elif kind == "no train":
        shutil.rmtree(root / "train")
    elif kind == "stray":
        picture(root / "train/stray.png")
    elif kind == "no label":
        (root / "classes.tsv").write_text("ant\t\nbird\tbird\n")
    elif kind == "no name":
        for split in ("train", "val"):
            picture(root / split / os.fsdecode(b"k\xe4fer") / "1.png")
    elif kind == "no line":
        (root / "classes.tsv").write_text("ant\tant\n")
    elif kind == "nothing to split":
        return 0.5
    elif kind == "train twice":
        shutil.copytree(root / "train", root / "Training")
    elif kind == "no class folders":
        for split in ("train", "val"):
            shutil.rmtree(root / split)
            picture(root / split / "1.png")
    elif kind == "a level too high":
        for split in ("train", "val"):
            shutil.move(root / split, root / "flowers" / split)
    elif kind == "too few":
        shutil.rmtree(root / "val")
        for name in ("1.png", "2.png"):
            (root / "train/bird" / name).unlink()
    return None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty class", "train/ant: a class folder with no pictures in it"),
        ("only in train", "class folder 'ant' is in train/, but not in val/"),
        ("only in val", "class folder 'ant' is in val/, but not in train/"),
        ("no train", "has val/, but no train/"),
        ("one class", "train: at least two class folders are needed, found 1"),
        ("stray", "train/stray.png: a picture outside the class folders; move or remove it"),
        ("no label", "label '' is empty or not one line of text"),
        ("no name", "class 'k\\udce4fer' is empty or not one line of text"),
        ("no line", "classes.tsv: no line for class folder 'bird'"),
        ("nothing to split", "has val/ already, so there is nothing to split: leave --val-fraction out"),
        ("train twice", "Training/ and train/ are both named for training; keep one, or rename it"),
        ("no class folders", "train: holds no class folders: a folder for the pictures of each class"),
        ("a level too high", "holds one folder, flowers; if the classes are in it, give its path"),
        ("too few", "class 'bird' has one picture, too few to split into train and val"),
    ],
)
def test_refusals(tmp_path: Path, kind: str, message: str) -> None:
    root = folder(tmp_path)
    fraction = damage(root, kind)
    with pytest.raises(DataError) as raised:
        open_dataset(root, fraction)
    assert str(raised.value).startswith(str(root))
    assert str(raised.value).endswith(message)


def test_neither_folder_nor_zip(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither a folder nor a \.zip"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"x\.zip: not a \.zip that can be read"):
        open_dataset(tmp_path / "x.zip")


def test_open_split_matches_classes_by_name(tmp_path: Path) -> None:
    root = folder(tmp_path)
    split = open_split(root, ["zebra", "bird", "ant"])
    assert names(split, root)[0] == "val/bird/0.png"
    assert split.targets.tolist() == [1, 1, 1, 2, 2, 2]
    assert len(open_split(root / "val", ["bird", "ant"])) == 6
    with pytest.raises(DataError, match="val/bird: the model knows no class of this folder's name"):
        open_split(root, ["ant", "cat"])
    with pytest.raises(DataError, match="no val/ to evaluate on"):
        open_split(folder(tmp_path / "other", ("train",)), ["ant", "bird"])


def random_sizes(root: Path, count: int) -> Path:
    """Class folders of pictures with contents, and so lengths, of their own."""
    random = np.random.default_rng(0)
    for name in ("ant", "bird"):
        for index in range(count):
            path = root / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = random.integers(20, 90, 2)
            Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return root


def test_a_model_is_measured_on_what_training_split_off(tmp_path: Path) -> None:
    root = random_sizes(tmp_path / "pets", 20)
    dataset = open_dataset(root, 0.3)
    training = {"split": record(dataset)}
    taken = pictures_to_measure(root, dataset.classes, training)
    assert names(taken, root) == names(dataset.val, root)
    assert taken.targets.tolist() == dataset.val.targets.tolist()
    assert len(pictures_to_measure(root, dataset.classes, training, every=True)) == 40


def test_training_pictures_are_refused_as_a_measure(tmp_path: Path) -> None:
    root = random_sizes(tmp_path / "pets", 20)
    classes = ["ant", "bird"]
    training = {"split": record(open_dataset(root, 0.3))}
    picture(root / "ant" / "new.png")  # what was split off can't be told any more
    shutil.move(root, tmp_path / "renamed")
    with pytest.raises(DataError, match=r"renamed: the model was trained on these pictures, .* with --all"):
        pictures_to_measure(tmp_path / "renamed", classes, training)
    assert len(pictures_to_measure(tmp_path / "renamed", classes, training, every=True)) == 41
    others = random_sizes(tmp_path / "others", 3)
    assert len(pictures_to_measure(others, classes, training)) == 6
    with pytest.raises(DataError, match="the model was trained on these pictures"):  # a file of before has a name only
        pictures_to_measure(others, classes, {"data": "others: 6 pictures of 2 classes"})


def test_train_is_no_measure_of_a_model_that_had_a_val(tmp_path: Path) -> None:
    root = random_sizes(tmp_path / "pets" / "train", 20).parent
    shutil.copytree(root / "train", root / "val")
    training = {"split": record(open_dataset(root))}
    assert names(pictures_to_measure(root, ["ant", "bird"], training), root)[0] == "val/ant/0.png"
    with pytest.raises(DataError, match="the model was trained on these pictures"):
        pictures_to_measure(root / "train", ["ant", "bird"], training)
    shutil.rmtree(root / "val")
    with pytest.raises(DataError, match="no val/ to evaluate on; --all evaluates on train/"):
        pictures_to_measure(root, ["ant", "bird"], training)
    assert len(pictures_to_measure(root, ["ant", "bird"], training, every=True)) == 40


def shards(root: Path, numbers: bool = False) -> Path:
    """Shards of the folder ``root``, written by the webdataset library; returns the folder that they are in."""
    webdataset = pytest.importorskip("webdataset")
    out = root.parent / "shards"
    out.mkdir()
    for split in ("train", "val"):
        for half in range(2):
            with webdataset.TarWriter(str(out / f"{split}-{half:04}.tar")) as writer:
                for path in sorted((root / split).rglob("*.png"))[half::2]:
                    name = path.parent.name
                    target = ["ant", "bird"].index(name) if numbers else name
                    writer.write({"__key__": f"{name}{path.stem}", "png": path.read_bytes(), "cls": str(target)})
    return out


def test_shards_give_the_pictures_of_the_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets")
    noise = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "train/bird/1.png")
    dataset, of_folder = open_dataset(shards(root)), open_dataset(root)
    assert dataset.classes == ["ant", "bird"]
    for ours, theirs in ((dataset.train, of_folder.train), (dataset.val, of_folder.val)):
        assert np.bincount(ours.targets).tolist() == np.bincount(theirs.targets).tolist()
        a = sorted(picture.decode().tobytes() for picture in ours.pictures)
        assert a == sorted(picture.decode().tobytes() for picture in theirs.pictures)
    assert len(open_split(tmp_path / "shards", ["bird", "ant"])) == 6


def test_numbers_in_shards_are_lines_of_the_table(tmp_path: Path) -> None:
    out = shards(folder(tmp_path / "pets"), numbers=True)
    assert open_dataset(out).classes == ["0", "1"]
    (out / "classes.tsv").write_text("n7\tthe ant\nn3\tthe bird\n")
    dataset = open_dataset(out)
    assert (dataset.classes, dataset.labels) == (["n3", "n7"], ["the bird", "the ant"])
    birds = [
        picture for picture, target in zip(dataset.train.pictures, dataset.train.targets, strict=True) if not target
    ]
    assert all("/bird" in picture.name for picture in birds)
    (out / "classes.tsv").write_text("n7\tthe ant\n")
    with pytest.raises(DataError, match=r"class 1, but .* has 1 lines"):
        open_dataset(out)


def test_an_archive_beside_its_folders_is_no_shard(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train.tar").write_bytes(b"")
    assert len(open_dataset(root).train) == 6


def test_wrong_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train-0.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(DataError, match=r"train-0\.tar: not a \.tar that can be read"):
        open_dataset(tmp_path)
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "train-0.tar")) as writer:
        writer.write({"__key__": "x", "png": b"..."})
    with pytest.raises(DataError, match=r"train-0\.tar/x\.png: a picture without a class \(no x\.cls\)"):
        open_dataset(tmp_path)


def test_deep_names_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "deep.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/a/" + "x/" * 5_000 + "y.jpg", b"")
        archive.writestr("val/a/z.jpg", b"")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="at least two class folders"):
            open_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_threads_hold_few_files_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, seen, lock = [0], [0], threading.Lock()
    picture = Image.new("RGB", (1, 1))

    def source(self: Picture) -> bytes:
        with lock:
            held[0] += self.bytes_stored
            seen[0] = max(seen[0], held[0])
        return b""

    def decode(source: bytes, resize: int | None) -> Image.Image:
        time.sleep(0.01)
        with lock:
            held[0] -= 200_000_000
        return picture

    monkeypatch.setattr(Picture, "source", source)
    monkeypatch.setattr(images, "decode", decode)
    large = Picture("large.zip/large.bmp", 200_000_000, tmp_path, "large.bmp")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Picture.decode, [large] * 16))
    assert seen[0] == 400_000_000  # 4 bytes for each of 100 million pixels


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_while_a_thread_reads_an_archive(tmp_path: Path) -> None:
    folder(tmp_path / "pets")
    shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path, "pets")
    picture = open_dataset(tmp_path / "pets.zip").train.pictures[0]
    assert isinstance(picture.archive, Archive)
    with picture.archive.zip._lock:  # type: ignore[attr-defined]  # as by a thread that the process does not have
        child = os.fork()
        if not child:
            signal.alarm(20)
            picture.decode()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_member_before_the_file_is_damage(tmp_path: Path) -> None:
    folder(tmp_path / "pets")
    shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path, "pets")
    data = bytearray((tmp_path / "pets.zip").read_bytes())
    place = len(data) - 6  # the directory's offset, in a .zip without a comment
    data[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", data, place)[0] + 1_000_000)
    (tmp_path / "pets.zip").write_bytes(data)
    picture = open_dataset(tmp_path / "pets.zip").train.pictures[0]
    with pytest.raises(ImageError, match=r"pets\.zip/pets/train/ant/0\.png: damaged \.zip$"):
        picture.decode()
