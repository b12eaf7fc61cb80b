from enum import Enum
from pathlib import Path

from torch import nn


class Depth(Enum):
    SHALLOW = 1
    DEEP = 2


def class_names():
    return (Path(__file__).resolve().parent / "classes.txt").read_text().split()


class Stack(nn.Module):
    def __init__(self, depth, width, classes):
        super().__init__()
        self.inner, self.outer, self.criterion = nn.Linear(5, width), nn.Linear(width, classes), nn.CrossEntropyLoss()

    def forward(self, features):
        return self.outer(self.inner(features).relu())

    def loss(self, scores, label):
        return self.criterion(scores, label)
