"""Image sets, decoded once, cached as arrays and held in memory whole."""

from hwsim.trainers.data.images import Images, ImageSet, split
from hwsim.trainers.data.sources import DATASETS, open_dataset

__all__ = ["DATASETS", "ImageSet", "Images", "open_dataset", "split"]
