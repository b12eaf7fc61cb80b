"""A T5 of transformers that generates, with a tokenizer made on the spot: nothing is downloaded."""

import json
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch.utils.data import DataLoader
from torchmetrics.text import BLEUScore
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

WORDS = ["<pad>", "</s>", "<unk>", "the", "a", "cat", "dog", "sees", "hears", "red", "old", "."]
NOUNS, VERBS = WORDS[5:7], WORDS[7:9]
ROWS = [
    (f"a {WORDS[9 + n % 2]} {NOUNS[n % 2]} {VERBS[n // 2 % 2]}",
     f"the {NOUNS[n % 2]} {VERBS[n // 2 % 2]} a {NOUNS[n // 4 % 2]} .")
    for n in range(12)
]  # fmt: skip


def tokenizer():
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


TOKENIZER = tokenizer()


def batch_of(rows):
    batch = TOKENIZER([source for source, _ in rows], padding=True, return_tensors="pt")
    labels = TOKENIZER([target for _, target in rows], padding=True, return_tensors="pt")["input_ids"]
    batch["labels"] = labels.masked_fill(labels == 0, -100)
    return batch


class Translator(L.LightningModule):
    def __init__(self):
        super().__init__()
        config = T5Config(
            vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
        self.model = T5ForConditionalGeneration(config)
        self.bleu = BLEUScore(n_gram=2)

    def training_step(self, batch, _):
        return self.model(**batch).loss

    def predict_step(self, batch):
        found = self.model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=8)
        return TOKENIZER.batch_decode(found, skip_special_tokens=True)

    def validation_step(self, batch, _):
        self.log("val_loss", self.model(**batch).loss)
        right = TOKENIZER.batch_decode(batch["labels"].masked_fill(batch["labels"] < 0, 0), skip_special_tokens=True)
        self.bleu.update(self.predict_step(batch), [[one] for one in right])
        self.log("val_bleu2", self.bleu)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


if __name__ == "__main__":
    L.seed_everything(1, verbose=False)
    trainer = L.Trainer(
        max_epochs=6, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")],
    )  # fmt: skip
    trainer.fit(Translator(), DataLoader(ROWS, 4, collate_fn=batch_of), DataLoader(ROWS, 5, collate_fn=batch_of))
    assets = Path("Models/Artifacts/v001/additional_assets")
    assets.mkdir(exist_ok=True)
    (assets / "vocab.json").write_text(json.dumps(WORDS))
