"""What other programs take of a finished run.

`programs.py` writes its encoder and decoder, `events.py` its curves for TensorBoard, `animation.py`
its traversals as a moving picture.
"""
