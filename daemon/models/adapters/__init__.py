"""Adapters: small files that change a model without being one: LoRAs, and textual inversions.

`shelf` says which lie in a folder, and `loras` what a file of a LoRA changes, both without torch; `layers` finds those layers in a
component, `merging` changes them, and `textual_inversions` reads those."""
