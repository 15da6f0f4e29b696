"""A kit to see how a distilled HGNetv2 checkpoint loads into RT-DETRv2.

The way of the data, one function an arrow:

    file --open_checkpoint--> Checkpoint --compare(config)--> Diff --select--> Selection
         --write_tuning_file--> tuning file --load_tuning_file--> model
    model --train--> records (metrics.jsonl) --Run.history--> live plot

Where things are, one folder a purpose:

    text           how things are written for terminal and notebook
    files          safe ways to write, find and name files
    architecture   the numbers and names of the official model, without torch
    config         official YAML files to one checked, typed configuration
    checkpoint     a file of weights to a proved tuning file
    model          all that owns weights
    datasets       pictures and boxes to batches
    diagnostics    questions to weights and pictures together
    launchers      how its command is started: several processes, SLURM
    runs           a run as a folder and a process
    training       what happens in that process
    official       runs of the official repository, as runs like ours
    ui             widgets and figures
    lab, demo, cli notebooks with values filled in; the whole job without a click; the commands

The public names stand in `__init__.pyi`. They are imported when they are first used: `import
rtdetr_nb` loads no torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
