"""The whole detector."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.hgnetv2 import HGNetv2
from rtdetr_nb.model.hybrid_encoder import HybridEncoder


class RTDETR(nn.Module):
    """Backbone, hybrid encoder and decoder in a row.

    Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (CVPR 2024).
    """

    def __init__(
        self, backbone: HGNetv2, encoder: HybridEncoder, decoder: RTDETRTransformerv2
    ) -> None:
        super().__init__()
        self.backbone = backbone
        # Parity: official files hold backbone, decoder, encoder by construction order of the
        # official class, so the decoder's keys come before the encoder's.
        self.decoder = decoder
        self.encoder = encoder

    def forward(
        self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Any]:
        """Detect objects in images (B, 3, H, W) of values in 0..1, sides divisible by 32.

        See `RTDETRTransformerv2.forward` for the targets and the outputs.
        """
        return self.decoder(self.encoder(self.backbone(images)), targets)
