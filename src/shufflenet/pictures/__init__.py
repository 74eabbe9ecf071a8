"""From picture files to the network's input, and what is wrong with a folder of them."""
