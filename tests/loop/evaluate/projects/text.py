"""Text in dict batches, a class-weighted loss that is only returned, a list of one validation loader."""

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

PHRASES = ["good day", "bad day", "very good", "so bad", "좋은 good", "bad bad"] * 4


class Phrases(Dataset):
    def __len__(self):
        return len(PHRASES)

    def __getitem__(self, index):
        return {"text": PHRASES[index], "label": int("good" in PHRASES[index])}


class Mood(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.EmbeddingBag(64, 2)
        self.criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))

    def forward(self, texts):
        return torch.cat([self.words(torch.tensor([[sum(map(ord, w)) % 64 for w in t.split()]])) for t in texts])

    def training_step(self, batch, _):
        return self.criterion(self(batch["text"]), batch["label"])

    def validation_step(self, batch, _):
        return self.training_step(batch, _)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


pl.seed_everything(6, verbose=False)
saver = pl.callbacks.ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[saver], enable_progress_bar=False)
trainer.fit(Mood(), DataLoader(Phrases(), 5), [DataLoader(Phrases(), 5)])
