"""Pictures that earlier versions made, to be made again to the bit: of each the model is made anew from its seed, in one file.

`keep.py` made them; they stay as that version left them."""
