"""robustlr: how wrong can the learning rate be before it hurts?"""

__version__ = "0.1.0"
