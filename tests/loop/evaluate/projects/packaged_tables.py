import lightning.pytorch as L
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset, random_split


class Tables(L.LightningDataModule):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def prepare_data(self):
        assert self.folder.is_dir()

    def setup(self, stage):
        with np.load(self.folder / "all.npz") as arrays:
            everything = TensorDataset(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]))
        self.parts = random_split(everything, [60, 30], generator=torch.Generator().manual_seed(3))

    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=16)

    def val_dataloader(self):
        return DataLoader(self.parts[1], batch_size=16)
