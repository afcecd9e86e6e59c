"""Published results, percent: tables too long for the experiments that cite
them."""

# Part 3.1, figure 3: QA accuracy on P_test after LoRA finetuning, mean over
# six attributes, of each variant without and with fullname.
_PLAIN_AND_FULLNAME = {
    'single': (9.7, 48.9), 'single_permute1': (4.4, 31.7),
    'single_permute2': (53.2, 73.1), 'single_permute5': (70.0, 80.2),
    'multi2': (41.1, 84.0), 'multi2_permute': (91.2, 96.1),
    'multi5': (41.0, 82.4), 'multi5_permute': (96.6, 96.2)}
QA_FINETUNE = {name + end: value
               for name, values in _PLAIN_AND_FULLNAME.items()
               for end, value in zip(('', '_fullname'), values)}
# Part 3.1, figure 10: the same after mixed training, by QA_r, the share of
# questions.
QA_MIXED = {v: dict(zip((.1, .2, .3, .4, .6, .8, .9), x)) for v, x in {
    'single': (24.5, 53.6, 70.5, 77.5, 87.1, 85.7, 81.8),
    'single_permute1': (11.7, 25.5, 55.1, 69.3, 85.1, 82.4, 83.8),
    'single_permute2': (87.1, 91.4, 91.5, 90.1, 93.2, 91.6, 84.6),
    'multi2_permute': (94.3, 95.1, 95.5, 95.3, 95.3, 91.3, 91.9),
    'multi5_permute': (96.6, 96.3, 95.9, 96.2, 95.8, 95.2, 93.9)}.items()}

# Part 3.1, figures 3, 5, 7: birth city, university, major, employer, company
# city. P-probes at position 0, Q-probes of names, QA accuracy after LoRA
# finetuning.
P_PROBE = {'single': (5.0, 0.8, 1.7, 0.6, 14.3),
           'multi5_permute': (96.6, 75.5, 96.1, 99.6, 99.6)}
Q_PROBE = {'single': (1.1, 0.3, 1.4, 0.1, 11.6),
           'multi5': (38.1, 9.7, 36.1, 2.3, 11.9),
           'multi5_permute': (96.1, 72.6, 94.9, 99.6, 99.7)}
QA_BY_ATTRIBUTE = {'single': (6.3, 2.3, 4.0, 1.1, 13.8),
                   'multi5': (50.8, 30.9, 43.5, 10.2, 13.8),
                   'multi5_permute': (99.0, 91.3, 97.7, 95.1, 98.7)}
