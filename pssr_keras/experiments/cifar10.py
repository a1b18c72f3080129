"""The experiments on CIFAR-10; what they share with those on CIFAR-100 is in `experiments/cifar.py`."""

from . import cifar
from .base import Experiments

EXPERIMENT = cifar.experiment(
    "cifar10",
    {
        # Width 1 (section 4.1) takes ten times as long; 200 epochs (section 4.3) take five hours even so.
        "classifier.architecture": "resnet18",
        "classifier.width": 0.25,
        "classifier.epochs": 30,
        "cae.epochs": 16,  # 100 (section 4.3) take six hours
        "arn.encoder_stages": 3,  # a code of one pixel holds no photograph; Zhou et al. 2021 publish none
        "arn.code_channels": 64,  # 4x4x64 units are a third of an image's numbers
        "arn.versions_augmentation": "crop_and_flip:2",  # as the pairs of the CAE
    },
)

PRESETS: dict[str, dict] = {
    "smoke": cifar.SMOKE
    | {
        "hardened.extrapolator_channels": 8,
        "hardened.inner_steps": 2,
        "hardened.epochs": 1,
        "hardened.evaluation": ("pgd:steps=5,best=true",),
        "hardened.evaluated_images": 50,
    },
    "cpu": {},
    "paper": cifar.PAPER,
}

REPRODUCTIONS = {
    "smoke": cifar.smoke(
        standard_attacks=("pgd:steps=5",),
        main=(
            *cifar.SMOKE_MAIN,
            "arn.epochs=1",
            "hardened.epochs=1",
            "hardened.extrapolator_channels=4",
            "hardened.inner_steps=1",
        ),
        rows={  # a fifth of the images, because 4,000 are more than all
            "UAT++, 4,000 labels": "pseudo_labels:labels=80",
            "adversarial training, 4,000 labels": "few_labels:labels=80",
        },
    ),
    "cpu": cifar.cpu(
        robust_epochs=6,  # from random weights it would take fifteen
        minutes={
            "table_1": 280,
            "table_2": 220,
            "table_3": 320,
            "table_4": 110,
            "figure_1": 2,
            "figure_7": 4,
            "figure_10b": 57,
            "label_leak": 45,
            "mask_exchange": 4,
            "seeds": 60,
        },
        main_minutes=150,
    ),
    "paper": cifar.paper(main=("arn.epochs=100",)),  # as many as Zhou et al. 2021 on MNIST
}

CIFAR10 = Experiments(
    experiment=EXPERIMENT,
    presets=PRESETS,
    rows={
        "undefended": "cross_entropy",
        "gradient regularisation": "gradient_regularisation",
        # a search of one step cannot begin where the divergence is flat
        "TRADES": "trades:start=8/255",
        "adversarial training": "adversarial_training",
        # the published row was trained so, before it was noticed that others search in evaluation mode
        "UAT++, 4,000 labels": "pseudo_labels:search=training",
        "adversarial training, 4,000 labels": "few_labels",
        "PCL": "prototype_conformity",
        # weight and budgets, 0.02 to 0.05 in units of 8/255, as in the code of the method
        "PCL_p": "prototype_conformity:attacked=true,weight=1e-5,lowest_budget=51/80,highest_budget=51/32",
    },
    reproductions=REPRODUCTIONS,
    transfer_rows=(
        "undefended",
        "gradient regularisation",
        "TRADES",
        "adversarial training",
        "PCL",
        "PCL_p",
    ),
    published_as={"UAT++, 4,000 labels": "Semi-SL"},
    defenses={"PSSR": "pssr", "ARN": "arn"},
    adaptive_defenses={"hardened E": "hardened"},
    other_architecture="multilayer_perceptron",
)
