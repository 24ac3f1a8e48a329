"""Whether program and specification agree: a corpus of files of all that the text names, and the comparison with another reader.

python -m tests.agreement.corpus OUT               writes 1,500 files, and the originals for `repair`
python -m tests.agreement READER.py [OUT]          compares a reader written from the text alone with the program
"""
