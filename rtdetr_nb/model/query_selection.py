"""Which positions of the maps become queries."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class QuerySelection:
    """How the decoder chooses the positions from which its queries start.

    Attributes:
        num_queries: queries of an image, Q.
        method: "default" ranks positions by their best class; "one2many" ranks pairs of position
            and class, so that a position may be chosen several times; "agnostic" ranks by one
            score that knows no class.
        learn_content: learn the content of queries instead of taking it from the maps.
        margin: positions nearer than this to the border of the image start no query.
    """

    num_queries: int
    method: str
    learn_content: bool
    margin: float

    @property
    def is_class_agnostic(self) -> bool:
        """Whether positions have one score instead of one for each class."""
        return self.method == "agnostic"

    def best_positions(self, scores: Tensor) -> Tensor:
        """Positions (B, Q), best first, by scores (B, N, one or num_classes)."""
        if self.method == "one2many":
            pairs = scores.flatten(1).topk(self.num_queries, dim=1).indices
            return pairs // scores.shape[-1]
        return scores.amax(dim=-1).topk(self.num_queries, dim=1).indices
