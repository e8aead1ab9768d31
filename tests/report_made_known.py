"""The known numbers from which a made-up results document is built."""

DOSES = ["0", "500", "900", "1200", "1500", "2000"]
APTT = [30.0, 50.0, 70.0, 90.0, 110.0, 130.0]

# Offsets of three seeds: their mean is 0, their standard deviation exactly 0.01.
OFFSETS = (-0.01, 0.0, 0.01)

# policy -> (mode, r_p per hour, time in range, time above 100 s)
POLICIES = {
    "omg_rl": ("stochastic", -0.10, 0.44, 0.12),
    "combo": ("stochastic", 0.05, 0.53, 0.18),
    "clinicians": ("-", 0.04, 0.52, 0.11),
    "behavioural_cloning": ("stochastic", -0.28, 0.36, 0.22),
    "random": ("-", -0.54, 0.23, 0.33),
    "zero": ("-", -0.98, 0.01, 0.0),
    "constant_2": ("-", -0.48, 0.26, 0.31),
}
