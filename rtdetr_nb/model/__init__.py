"""All that owns weights: backbone, hybrid encoder, decoder, denoising, postprocessor."""
