"""OCR by an encoder and a decoder: images in, characters out, one after another."""

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

LETTERS = ["<pad>", "<s>", "</s>", "a", "b", "c"]
TEXTS = ["abc", "ab", "cab", "ba c".replace(" ", ""), "c", "bca"]


def image(text):
    """Each letter is a bar at a height of its own, in four columns."""
    made = torch.zeros(1, 8, 16)
    for place, letter in enumerate(text):
        made[0, 2 * (LETTERS.index(letter) - 3) : 2 * (LETTERS.index(letter) - 2), 4 * place : 4 * place + 4] = 1
    return made


ROWS = [
    (image(TEXTS[n % 6]) + torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(n)) / 4, TEXTS[n % 6])
    for n in range(23)
]


def batch_of(rows):
    codes = [torch.tensor([1, *(LETTERS.index(one) for one in text), 2]) for _, text in rows]
    padded = nn.utils.rnn.pad_sequence(codes, batch_first=True)
    return {"image": torch.stack([one for one, _ in rows]), "codes": padded, "text": [text for _, text in rows]}


class Reader(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(8, 16)
        self.letters = nn.Embedding(6, 16)
        self.decoder = nn.GRUCell(16 + 16 * 16, 32)
        self.head = nn.Linear(32, 6)

    def encode(self, images):
        return self.encoder(images[:, 0].transpose(1, 2)).relu().flatten(1)

    def steps(self, images, codes):
        """The scores of each next letter after those that are given."""
        seen, state, found = self.encode(images), None, []
        for column in codes[:, :-1].T:
            state = self.decoder(torch.cat([self.letters(column), seen], 1), state)
            found.append(self.head(state))
        return torch.stack(found, 1)

    def training_step(self, batch, _):
        scores = self.steps(batch["image"], batch["codes"])
        return F.cross_entropy(scores.flatten(0, 1), batch["codes"][:, 1:].flatten(), ignore_index=0)

    def read(self, images):
        """Greedy: each letter is the next one's input."""
        seen, state = self.encode(images), None
        letter = torch.ones(len(images), dtype=torch.long)
        found = [letter]
        for _ in range(6):
            state = self.decoder(torch.cat([self.letters(letter), seen], 1), state)
            letter = self.head(state).argmax(1)
            found.append(letter)
        rows = torch.stack(found, 1).tolist()
        ends = [row.index(2) if 2 in row else len(row) for row in rows]
        return ["".join(LETTERS[one] for one in row[1:end] if one > 2) for row, end in zip(rows, ends, strict=True)]

    def predict_step(self, batch):
        return self.read(batch["image"])

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))
        read = self.read(batch["image"])
        self.log("val_exact_match", sum(map(str.__eq__, read, batch["text"])) / len(read))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


if __name__ == "__main__":
    L.seed_everything(1, verbose=False)
    trainer = L.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")],
    )  # fmt: skip
    trainer.fit(Reader(), DataLoader(ROWS, 8, collate_fn=batch_of), DataLoader(ROWS, 5, collate_fn=batch_of))
