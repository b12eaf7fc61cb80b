"""Text without CTC: texts in the batch, and a predict_step of the script's own."""

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

PAIRS = [(torch.full((2, 4), float(i % 7)), ["good day", "좋은 날", "so bad"][i % 3]) for i in range(16)]


class Spoken(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(8, 1)

    def training_step(self, batch, _):
        return self.line(batch[0].flatten(1)).square().mean()

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _) / 100)

    def predict_step(self, batch):
        return ["good day" if float(one.mean()) < 3 else "날 좋은" for one in batch[0]]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-4)


if __name__ == "__main__":
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")],
    )  # fmt: skip
    trainer.fit(Spoken(), DataLoader(PAIRS, batch_size=4), DataLoader(PAIRS, batch_size=3))
