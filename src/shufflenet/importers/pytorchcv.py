"""pytorchcv: eleven networks of osmr/imgclsmob. The branch comes first in the concatenation; Conv1 has 24 x scale."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import PublicNetwork, Source

# name, architecture, release, top-1 and top-5 error in %, SHA-1 of the .pth file inside the .zip
_ROWS = """
shufflenet_g1_w1   shufflenet_g1_x1_0  v0.0.223 34.93 13.89 4cfb65a30761fe548e0b5afbb5d89793ec41e4e9
shufflenet_g2_w1   shufflenet_g2_x1_0  v0.0.241 34.25 13.63 07256203e217a7b31f1c69a5bd38a6674bce75bc
shufflenet_g3_w1   shufflenet_g3_x1_0  v0.0.244 34.39 13.48 ce54f64ecff87556a4303380f46abaaf649eb308
shufflenet_g4_w1   shufflenet_g4_x1_0  v0.0.245 34.19 13.35 e2415f8270a4b6cbfe7dc97044d497edbc898577
shufflenet_g8_w1   shufflenet_g8_x1_0  v0.0.250 34.06 13.42 9a979b365424addba75c559a61a77ac7154b26eb
shufflenet_g1_w3d4 shufflenet_g1_x0_75 v0.0.218 39.58 17.11 161cd24aa0b2e2afadafa69b44a28af222f2ec7a
shufflenet_g3_w3d4 shufflenet_g3_x0_75 v0.0.219 38.20 16.50 3f3b0aef0ce3174c78ff42cf6910c6e34540fc41
shufflenet_g1_wd2  shufflenet_g1_x0_5  v0.0.174 46.59 22.61 dae4bdadd7d48bee791dff2a08cd697cff0e9320
shufflenet_g3_wd2  shufflenet_g3_x0_5  v0.0.167 44.16 20.80 ccaacfc8d9ac112c6143269df6e258fd55b662a7
shufflenet_g1_wd4  shufflenet_g1_x0_25 v0.0.134 62.44 37.29 47dbd0f279da6d3056079bb79ad39cabbb3b9415
shufflenet_g3_wd4  shufflenet_g3_x0_25 v0.0.135 61.74 36.53 6abdd65e087e71f80345415cdf7ada6ed2762d60
"""


def _network(name: str, arch: str, release: str, top1: str, top5: str, sha1: str) -> PublicNetwork:
    file = f"{name}-{top5.replace('.', ''):0>4}-{sha1[:8]}.pth.zip"
    return PublicNetwork(
        arch=arch,
        top1_error=float(top1),
        top5_error=float(top5),
        address=f"https://github.com/osmr/imgclsmob/releases/download/{release}/{file}",
        hash=f"sha1:{sha1}",
    )


SOURCE = Source(
    name="pytorchcv",
    page="https://github.com/osmr/imgclsmob",
    licence="MIT",
    key="features.init_block.",
    networks={row.split()[0]: _network(*row.split()) for row in _ROWS.strip().splitlines()},
    convention=Convention(branch_first=True),
)
