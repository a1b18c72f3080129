"""The experiments on CIFAR-100; what they share with those on CIFAR-10 is in `experiments/cifar.py`."""

from . import cifar
from .base import Experiments

EXPERIMENT = cifar.experiment(
    "cifar100",
    {
        # Width 1 at the whole resolution (section 4.1) takes ten times as long; 200 epochs (section 4.3) take
        # fifteen hours even so.
        "classifier.architecture": "densenet121_strided",
        "classifier.width": 0.5,
        "classifier.epochs": 20,
        "cae.epochs": 12,  # 100 (section 4.3) take eleven hours on two cores
    },
)

PRESETS: dict[str, dict] = {
    "smoke": cifar.SMOKE,
    "cpu": {},
    "paper": cifar.PAPER | {"classifier.architecture": "densenet121"},
}

REPRODUCTIONS = {
    "smoke": cifar.smoke(),
    "cpu": cifar.cpu(
        robust_epochs=3,  # random weights end at half of its accuracies after as long
        minutes={
            "table_1": 390,
            "table_2": 230,
            "table_3": 130,
            "table_4": 75,
            "figure_1": 6,
            "figure_7": 9,
            "mask_exchange": 20,
            "seeds": 45,
        },
        main_minutes=330,
    ),
    "paper": cifar.paper(),
}

CIFAR100 = Experiments(
    experiment=EXPERIMENT,
    presets=PRESETS,
    rows={
        "undefended": "cross_entropy",
        "gradient regularisation": "gradient_regularisation",
        # a search of one step cannot begin where the divergence is flat
        "TRADES": "trades:start=8/255",
        "adversarial training": "adversarial_training",
        "RO": "early_stopping",
        "BagT": "bag_of_tricks",
    },
    reproductions=REPRODUCTIONS,
    last_epochs={"RO, last epoch": "RO", "BagT, last epoch": "BagT"},
    transfer_rows=("undefended", "TRADES", "adversarial training"),
    other_architecture="multilayer_perceptron",
)
