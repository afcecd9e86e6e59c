"""Every config key with its default, one a line, and its unit or constraint.

A recipe calls `get_config()` and overrides values; a run overrides further with
`--config.model.depth=6`. The run id is a hash of every key except those of
`runtime`, `log`, `checkpoint` and `evals`, which change how a run is computed,
logged and evaluated. They change its result by rounding at most, except
`runtime.grad_accum_steps`: dropout masks, the balance of experts and the draws
of `teacher.rest` are those of each micro-batch.

The comment of a numeric key states its range: 'in [a, b)', 'at least a', 'above
a', each also with ', or b', or 'any number'. physics_lm/key_ranges.py reads the
ranges from here. Which keys must fit each other is checked where they are used.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def biographies() -> ConfigDict:
  """Keys of bioS (physics_lm/worlds/biographies.py)."""
  w = ConfigDict()
  w.kind = 'biographies'
  w.version = 1  # of the distribution, at least 1; any other is refused
  w.people = 500  # at least 2; even-numbered people: P_train, odd ones: P_test
  w.person_offset = 0  # index of the first person, at least 0; disjoint ranges
  # share nobody
  w.variant = 'multi5_permute'  # single | multiM | fresh, then optionally
  # _permuteP | _coupleP, then _fullname | _reverse1 .. _reverse6 | _bilingual
  # Pool sizes: the default is the largest, the length of the list.
  w.first_names = 400  # in [1, 400]
  w.middle_names = 400  # in [1, 400]
  w.last_names = 1000  # in [1, 1000]
  w.years = 200  # birth years, from 1900; in [1, 200]
  w.months = 12  # in [1, 12]
  w.days = 28  # in [1, 28]
  w.cities = 200  # in [1, 200]
  w.universities = 300  # in [1, 300]
  w.majors = 100  # in [1, 100]
  w.employers = 263  # in [1, 263]
  w.templates = 50  # sentence templates of each attribute; in [1, 50]
  w.zipf_a = 0.0  # a, at least 0: person k has probability ~ k^-(1 + a); 0:
  # uniform
  w.skew = 0.0  # s in [0, 1]: person k has probability ~ k^-s; 0: uniform
  w.incorrect = 0.0  # share in [0, 1) of a fact's statements with another
  # value; the true one stays the commonest
  return w


def manipulation() -> ConfigDict:
  """Keys of manipulation tasks (physics_lm/worlds/manipulation.py)."""
  w = biographies()
  w.kind = 'manipulation'
  w.train_people = 0  # people in the tasks' training splits, at least 0; 0: all
  # of P_train
  return w


def biod() -> ConfigDict:
  """Keys of bioD(N, K, C, D, L, T) (physics_lm/worlds/biod.py)."""
  w = ConfigDict()
  w.kind = 'biod'
  w.version = 2  # at least 1
  w.people = 1000  # N, at least 1
  w.person_offset = 0  # index of the first person, at least 0; disjoint ranges
  # share nobody
  w.name_alphabet = 64  # symbols that names are drawn from, at least 1
  w.name_length = 2  # symbols of a name, at least 1; N0 = name_alphabet ** this
  w.attributes = 4  # K, at least 1
  w.chunks = 1  # C, chunks of a value, at least 1
  w.diversity = 128  # D, distinct chunks of an attribute: at least 1, up to
  # T ** L
  w.chunk_length = 1  # L, symbols of a chunk, at least 1
  w.symbols = 128  # T, symbols that chunks are drawn from, at least 1
  w.order = 'random'  # of attributes, in each entry anew; 'fixed': always the
  # same, and entries are without the attributes' own symbols
  w.zipf_a = 0.0  # a, at least 0: person k has probability ~ k^-(1 + a); 0:
  # uniform
  w.skew = 0.0  # at least 0: person k has probability ~ k^-skew instead
  w.people_per_rank = 1  # with zipf_a, so many people in a row share a k; at
  # least 1, a divisor of people
  w.incorrect = 0.0  # share of stated values that are another one, in [0, 1);
  # below 1 - 1 / D
  return w


def text() -> ConfigDict:
  """Keys of a corpus in files (physics_lm/worlds/text.py)."""
  w = ConfigDict()
  w.kind = 'text'
  w.version = 1  # at least 1
  w.files = 'data/*.txt'  # glob patterns, comma-separated; ** matches folders
  w.content = placeholder(str)  # hash of what the files hold; None: any, and
  # the run that begins is filled in with it
  w.field = 'text'  # of a JSON line, a Parquet column or a tf.train.Example
  w.separator = ''  # between documents of a text file; '': one document a file
  w.held_out = 0.01  # share of documents held out, by a hash of their text; in
  # [0, 1]
  w.shuffle = 1000  # documents of a file that are shuffled together; in
  # [1, 2 ** 24]
  w.fim_rate = 0.0  # share of documents rewritten for fill-in-the-middle; in
  # [0, 1]
  w.fim_spm = 0.5  # share of those in suffix-prefix-middle order; in [0, 1]
  return w


def igsm() -> ConfigDict:
  """Keys of iGSM (physics_lm/worlds/igsm/problems.py); defaults: iGSM-med."""
  w = ConfigDict()
  w.kind = 'igsm'
  w.version = 1  # at least 1
  w.min_op = 1  # at least 1; op of a problem is drawn from min_op .. max_op
  w.max_op = 15  # in [1, 52]
  w.max_edge = 20  # instance parameters, at least 1; and no fewer than
  # (max_depth - 1) * max_width
  w.modulus = 23  # of all arithmetic; at least 2
  w.min_depth = 2  # levels of the structure graph, at least 2
  w.max_depth = 4  # at least 2
  w.min_width = 2  # items on a level, at least 1
  w.max_width = 4  # at least 1
  w.hierarchies = 'harbor,park,sky,town'  # tables in worlds/tables/igsm
  w.subcategories = 5  # in use, of each category; at least 1
  w.items_per_subcategory = 20  # in use, at least 1; no fewer than max_width
  w.order = 'pq'  # 'pq': the question follows the problem; 'qp': precedes it
  w.variable_names = 'random'  # letters of the solution; or 'alphabetical'
  w.solution = 'shortest'  # or 'redundant': with unnecessary parameters
  w.retry_kind = 'retry'  # kind of errors: 'retry', 'retry_weak', 'retry_miss'
  # or 'retry_weak_next', the default of the authors' released code
  w.retry_rate = 0.0  # probability of an error before a sentence; in [0, 1)
  w.retry_mask = 'none'  # errors without loss: 'none', 'name' or 'sentence'
  w.rendering = 'text'  # or 'compact': of the same problems, a token for each
  # name, number and sign (physics_lm/worlds/igsm/compact.py)
  w.op_law = 'min2'  # op: the smaller of two uniform draws; or one, 'uniform'
  w.parameters = 'both'  # 'instance': no abstract ones, two operands each, up
  # to max_edge of them; depths and widths are then not used
  w.distractors = -1  # instance parameters that the answer does not need, of
  # 'instance'; at least -1: not fixed, but as the graph's law draws them
  w.held_out_op = 1  # at least 1; problems of fewer operations have any
  # template in train and test
  return w


def grammar() -> ConfigDict:
  """Keys of a random context-free grammar (physics_lm/worlds/grammar.py)."""
  w = ConfigDict()
  w.kind = 'grammar'
  w.version = 1  # at least 1
  w.levels = 4  # of rewriting, at least 1; strings have up to max_children **
  # levels symbols
  w.symbols = 3  # of each level below the root, at least 1; as many terminals
  w.min_rules = 2  # of a symbol, at least 1
  w.max_rules = 3  # at least 1
  w.min_children = 2  # symbols on the right-hand side of a rule, at least 1
  w.max_children = 3  # at least 1
  w.index = 0  # which of the grammars of a seed, at least 0
  w.roots = 1  # start symbols, all equally likely; at least 1
  w.corrupted = 0.0  # share of strings that are corrupted; in [0, 1]
  w.noise = 0.0  # probability that a symbol of a corrupted string is drawn
  # anew; in [0, 1]
  w.noise_level = 0  # of those symbols, at least 0; 0: terminals, 1: the level
  # above them ...
  return w


def markov() -> ConfigDict:
  """Keys of texts of Markov chains (physics_lm/worlds/markov.py)."""
  w = ConfigDict()
  w.kind = 'markov'
  w.version = 1  # at least 1
  w.symbols = 8  # V, at least 2
  w.chains = 0  # N matrices, at least 0; 0: each text has one of its own
  w.concentration = 0.2  # of the Dirichlet law of a row, above 0
  w.length = 64  # symbols of a text, at least 2
  w.zipf_a = 0.0  # exponent of the masses of a row, at least 0; 0: Dirichlet
  w.deterministic = 0.0  # share of rows with one successor, in [0, 1]
  w.judged = 0.0  # the best standardised count of verdicts on texts, at least
  # 0; 0: texts, no verdicts
  return w


def compose() -> ConfigDict:
  """Keys of compositions of hidden permutations
  (physics_lm/worlds/symbolic/compose.py)."""
  w = ConfigDict()
  w.kind = 'compose'
  w.version = 1  # at least 1
  w.functions = 24  # F, at least 1
  w.modulus = 10  # m, at least 2
  w.max_depth = 8  # functions of a problem, in [1, 16]
  w.equal_depths = 4  # depths 1 .. this are equally likely; at least 1
  w.depth_decay = 0.25  # likelihood of each further depth over that of the one
  # before, in [0, 1]
  w.share_worked = 1.0  # of answers with all steps, not only the result; in
  # [0, 1]
  w.marked = False  # the first token of an answer is its style
  w.judged = False  # also has splits 'judge', 'judge_d6': verdicts on answers
  w.second_names = False  # of the functions, and splits 'second', 'second_d6'
  w.exposure = 0.0  # of 'train': one function in its second name; in [0, 1]
  w.held_out_depth = 3  # from this depth on an eighth of the words is in 'test'
  # alone; at least 1
  return w


def chains() -> ConfigDict:
  """Keys of chains of pointers (physics_lm/worlds/symbolic/chains.py)."""
  w = ConfigDict()
  w.kind = 'chains'
  w.version = 1  # at least 1
  w.variant = 'hops'  # or 'depo', pairs in random order
  w.length = 48  # N, symbols of a text, or names of a cycle at most; at least 2
  w.symbols = 8  # S, at least 3; of 'depo' no fewer than length
  w.max_hops = 6  # K, at least 1
  return w


def recall() -> ConfigDict:
  """Keys of copying (physics_lm/worlds/symbolic/recall.py)."""
  w = ConfigDict()
  w.kind = 'recall'
  w.version = 1  # at least 1
  w.symbols = 32  # different ones, at least 2
  w.min_length = 16  # symbols to copy, at least 1
  w.max_length = 32  # at least 1, and at most `symbols`
  return w


def programs() -> ConfigDict:
  """Keys of programs with traces (physics_lm/worlds/symbolic/programs.py)."""
  w = ConfigDict()
  w.kind = 'programs'
  w.version = 1  # at least 1
  w.names = 24  # of variables, in [1, 51]
  w.modulus = 5  # m, at least 2
  w.min_length = 3  # statements of a program, at least 1
  w.max_length = 7  # at least 1, and at most `names`
  w.form = 'infix'  # or 'sentences', as solutions of compact iGSM
  w.trace = 'computed'  # or 'copied', results at random; 'random', all values
  return w


def instruct() -> ConfigDict:
  """Keys of instructions on strings
  (physics_lm/worlds/symbolic/instruct.py)."""
  w = ConfigDict()
  w.kind = 'instruct'
  w.version = 1  # at least 1
  w.families = 'replace'  # comma-separated; a family is operations joined with
  # '+', of replace, delete, double, reverse, count and select
  w.held_out = ''  # families of tests alone, comma-separated
  w.instructions = 0  # arguments of an operation that are in training, at least
  # 0; 0: all that are not held out
  w.zipf_a = 0.0  # a, at least 0: the k-th of them has probability ~ k^-a
  w.symbols = 32  # of a language, in [6, 1000]
  w.min_length = 5  # symbols of an input, at least 2
  w.max_length = 8  # at least 2, and below symbols - 2
  w.no_op = 0.0  # share of training inputs without the symbol that an
  # instruction names, in [0, 1]
  w.markers = 'user_ai'  # or 'separator', 'none'
  w.shots = 0  # worked pairs in place of an instruction, at least 0
  w.share_shots = 0.0  # of training examples with them, in [0, 1]
  w.second = 0.0  # share of training examples in the second language, in [0, 1]
  w.first_only = ''  # families that are taught in the first language alone
  w.shared_words = False  # operations have the same words in both languages
  w.dictionary = 0.0  # share of training examples that translate a word, in
  # [0, 1)
  return w


def crawl() -> ConfigDict:
  """Keys of pages with planted dirt (physics_lm/worlds/crawl.py)."""
  w = ConfigDict()
  w.kind = 'crawl'
  w.version = 1  # at least 1
  w.people = 300  # at least 2
  w.pages = 4  # pages of each person that are no dirt, at least 1
  w.dirt = 0.35  # share of all pages that are dirt, evenly of each class; in
  # [0, 1)
  w.changed = 0.05  # share of a near twin's words that are changed; in [0, 1]
  w.name_pool = 100  # first, middle and last names each; in [1, 400]
  w.value_pool = 50  # cities, universities, majors, employers each; in [1, 100]
  w.templates = 50  # sentence templates of each attribute; in [1, 50]
  w.keep = 'all'  # pages that are read: 'all', 'labels' (all but dirt) or
  # 'rules' (what configs/clean.py:web leaves)
  w.shingle = 5  # 'rules': near.shingle, words, at least 1
  w.min_jaccard = 0.8  # 'rules': near.min_jaccard; in (0, 1]
  return w


def _page_rules() -> ConfigDict:
  """Rules of cleaning that judge a page alone, from the URL to repetition."""
  w = ConfigDict()
  w.url = ConfigDict({'on': True})
  w.url.blocked = ''  # file of domains, one a line; '': none
  w.url.words = ''  # comma-separated; a URL with one of them is removed
  w.url.newest = True  # of pages with one URL only the newest is kept

  w.c4 = ConfigDict({'on': True})
  w.c4.end_punctuation = True  # keep only lines that end in . ! ? or a quote
  w.c4.min_line_words = 3  # of a line, at least 0
  w.c4.max_word_length = 1000  # characters; lines with more go; at least 1
  w.c4.javascript = True  # remove lines with 'javascript'
  w.c4.policy = True  # remove lines about cookies, terms and privacy policies
  w.c4.lorem_ipsum = True  # remove pages with it
  w.c4.curly_bracket = True  # remove pages with one
  w.c4.min_sentences = 5  # of a page, at least 0

  w.gopher = ConfigDict({'on': True})
  w.gopher.min_words = 50  # of a page, at least 0
  w.gopher.max_words = 100_000  # of a page, at least 0
  w.gopher.min_word_length = 3.0  # mean, in characters, at least 0
  w.gopher.max_word_length = 10.0  # mean, in characters, at least 0
  w.gopher.max_hashes = 0.1  # '#' a word, at least 0
  w.gopher.max_ellipses = 0.1  # a word, at least 0
  w.gopher.max_bullet_lines = 0.9  # share of lines, in [0, 1]
  w.gopher.max_ellipsis_lines = 0.3  # share of lines, in [0, 1]
  w.gopher.min_alphabetic = 0.8  # share of words with a letter, in [0, 1]
  w.gopher.min_stop_words = 2  # different ones of eight, in [0, 8]

  w.repetition = ConfigDict({'on': True})  # shares: repeats, without the first
  w.repetition.max_lines = 0.3  # share of lines, in [0, 1]
  w.repetition.max_paragraphs = 0.3  # share of paragraphs, in [0, 1]
  w.repetition.max_line_characters = 0.2  # in repeated lines, in [0, 1]
  w.repetition.max_paragraph_characters = 0.2  # in such paragraphs, in [0, 1]
  w.repetition.top_2 = 0.2  # characters in the commonest 2-gram, in [0, 1]
  w.repetition.top_3 = 0.18  # in [0, 1]
  w.repetition.top_4 = 0.16  # in [0, 1]
  w.repetition.repeated_5 = 0.15  # characters in repeated 5-grams, in [0, 1]
  w.repetition.repeated_6 = 0.14  # in [0, 1]
  w.repetition.repeated_7 = 0.13  # in [0, 1]
  w.repetition.repeated_8 = 0.12  # in [0, 1]
  w.repetition.repeated_9 = 0.11  # in [0, 1]
  w.repetition.repeated_10 = 0.1  # in [0, 1]

  w.fineweb = ConfigDict({'on': True})
  w.fineweb.min_line_ends = 0.12  # share of lines that end in punctuation, of
  # which a page needs more; in [0, 1]
  w.fineweb.max_line_characters = 0.1  # share of characters in repeated lines,
  # of which a page needs less; in [0, 1]
  w.fineweb.max_short_lines = 0.67  # share of lines, of which a page needs
  # less; in [0, 1]
  w.fineweb.short_line = 30  # characters of a short line, at least 0
  return w


def clean() -> ConfigDict:
  """Rules of python -m physics_lm.clean (configs/clean.py: their sources), in
  their order. A page is removed when a number of it is outside of a limit."""
  w = _page_rules()
  w.kind = 'clean'
  w.version = 1  # of the rules, at least 1; any other is refused
  w.field = 'text'  # of a JSON line or a Parquet column
  w.url_field = 'url'  # pages without it are of no rule about URLs
  w.date_field = 'date'  # compared as text, as 2024-05-31T12:00 can be
  w.separator = ''  # between pages of a text file; '': one page a file
  w.rounds = 0  # over all rules, at least 1, or 0: until nothing changes

  w.exact = ConfigDict({'on': True})  # of equal pages the first is kept

  w.near = ConfigDict({'on': True})  # of similar pages the first is kept
  w.near.shingle = 5  # words, at least 1
  w.near.bands = 14  # of the MinHash, at least 1
  w.near.rows = 8  # hashes of a band, at least 1
  w.near.min_jaccard = 0.8  # of the sets of shingles, verified; in (0, 1]

  w.lines = ConfigDict({'on': True})
  w.lines.max_count = 6  # lines seen more often go; at least 1
  w.lines.bucket = 30_000_000  # consecutive pages that are counted together, at
  # least 1

  w.substrings = ConfigDict({'on': True})  # the first of two spans is kept
  w.substrings.min_tokens = 50  # of a repeated span, at least 2
  w.substrings.bucket = 10_000_000  # tokens of consecutive pages that are
  # compared with each other, at least 1

  w.divergence = ConfigDict({'on': False})
  w.divergence.max_kl = 5.0  # nats, of a page's tokens from those of all pages;
  # at least 0
  return w


def task(world: str, split: str, weight: float,
         loss: str = 'all') -> ConfigDict:
  """Keys of a task: a source of examples in the training mixture."""
  t = ConfigDict()
  t.world = world  # a key of `worlds`
  t.split = split  # a split of that world
  t.weight = weight  # share of rows, at least 0; normalised to sum 1
  t.loss = loss  # on 'all' tokens or on 'answers'; not in post-training
  t.tag = ''  # domain tag: text before every example
  t.since = placeholder(int)  # step that it takes part from, at least 0; None:
  # the first
  t.until = placeholder(int)  # step before which it does, at least 1; None: to
  # the last
  t.pool = placeholder(int)  # examples that it draws from, the first of the
  # split, at least 1; None: all
  return t


def evaluation(kind: str) -> ConfigDict:
  """Keys of one evaluation; every one runs after the last step. A run adds one
  with evals.NAME.kind."""
  e = ConfigDict()
  # 'loss', 'answers', 'cleaning', 'extraction', 'grammar', 'grammar_attention',
  # 'grammar_noise', 'grammar_samples', 'grammar_tree', 'knowledge_bits',
  # 'manipulation', 'markov', 'metrics_of_answers', 'p_probe', 'q_probe',
  # 'v_probe', 'linear_probe', 'solutions', 'best_of_n', 'retry_upon_regret',
  # 'policy', 'score_norms' or 'selection':
  # physics_lm/evals/registry.py
  e.kind = kind
  e.every = placeholder(int)  # steps between evaluations, at least 1; None: the
  # last only
  e.average = 1  # checkpoints, the last ones, of which the mean parameters are
  # evaluated, at least 1; more than one of the last step only
  e.world = 'bios'  # a key of `worlds`; not used by 'loss'
  e.people = 1000  # at most so many, of each split ('knowledge_bits': of the
  # world; 'cleaning': pages of each label); at least 1
  e.wordings = False  # 'extraction': also sentences in other wordings
  e.num_rows = 64  # of each task, for 'loss'; at least 1
  e.tag = ''  # domain tag before each example: 'knowledge_bits', 'solutions'
  e.tasks = ''  # comma-separated, for 'manipulation'
  # Training of 'p_probe' and 'q_probe' (physics_lm/evals/pq_probe.py) and of
  # 'v_probe' and 'linear_probe' (physics_lm/evals/igsm/):
  e.steps = 400  # at least 1
  e.batch = 10  # rows of biographies, names ('q_probe') or queries ('v_probe');
  # at least 1
  e.rank = 2  # of the low-rank update of the embedding, at least 1
  e.learning_rate = 1e-2  # peak, at least 0; falls linearly to 0
  e.weight_decay = 0.3  # on matrices only, at least 0; 'p_probe' and 'q_probe'
  e.names = True  # 'p_probe' and 'q_probe': the embedding update includes the
  # tokens of names; False: probes cannot memorise whose name it is
  # Compression before 'knowledge_bits' (physics_lm/model/compress.py):
  e.compress = 'none'  # 'none', 'nearest', 'gptq', 'prune', 'wanda',
  # 'sparsegpt' or 'prune_units'
  e.bits = 8  # per weight, in [2, 16]; 'nearest' and 'gptq'
  e.group = 32  # inputs that share a quantisation scale, or are pruned
  # together ('sparsegpt'); at least 1
  e.keep_fraction = 1.0  # of weights, or of units ('prune_units'); in (0, 1]
  # 'solutions' (evals/igsm/solutions.py), and those in evals/posttrain/, which
  # sample num_samples answers:
  e.splits = 'test'  # comma-separated: 'test,test_op20'; of 'answers' one
  e.num_problems = 256  # of each split (strings of 'grammar'), at least 1
  e.decode = 'greedy'  # or 'sample:TEMPERATURE[:TOP_K]', 'beam:WIDTH'
  e.max_new_tokens = 256  # of a solution, at least 1
  e.prefixes = 'none'  # of 'grammar_samples' (by `decode`), comma-separated:
  # 'none', 'clean', 'corrupted'
  # 'best_of_n' (evals/igsm/best_of_n.py), beside those of 'solutions':
  e.num_samples = 16  # solutions of a problem, patches of a string; at least 1
  e.reward = ''  # the gold one, as post.reward, of kinds in evals/posttrain/
  e.verifier = 'finetuned'  # or 'linear': a head on the frozen states
  e.verifier_split = 'train'  # split of the verifiers' training problems
  e.verifier_problems = 500  # training problems of the verifiers, at least 1
  e.verifier_samples = 4  # solutions of each of them, at least 1
  # 'retry_upon_regret' (physics_lm/evals/igsm/retry_upon_regret.py), beside
  # those of 'best_of_n' and 'v_probe':
  e.retries = 10  # sentences of a solution sampled again, at most; at least 0
  # 'v_probe' and 'linear_probe', beside splits and num_problems:
  e.probe = 'nece'  # or 'dep', 'known', 'can_next', 'nece_next', 'value'
  return e


def _data() -> ConfigDict:
  d = ConfigDict()
  d.seq_len = 128  # T, tokens of a row, at least 1
  d.batch_size = 16  # B, rows of a step, over all devices; at least 1
  d.vocab = 'word'  # 'word' or 'piece' (closed, from the worlds), 'byte',
  # 'bpe:SIZE', 'gpt2', 'gpt2_used' or a path: physics_lm/vocab.py
  d.source = 'worlds'  # or 'seqio:NAME': that seqio Task or Mixture alone
  d.module = ''  # Python module or file that registers seqio's NAME
  d.shards = 1  # of a stream: at least 1, up to its files and the batch size
  d.intra_document_mask = True  # False: tokens attend to earlier examples too
  d.sampling = 'replacement'  # each example uniform; 'epochs': in each epoch
  # every person once, in a new order (worlds of examples of one length)
  d.mlm_probability = 0.0  # share of words masked, in [0, 1); 0: causal LM
  d.tasks = ConfigDict({'bio': task('bios', 'bio', 0.5),
                        'qa': task('bios', 'qa_train', 0.5)})
  return d


def _model() -> ConfigDict:
  m = ConfigDict()
  m.depth = 4  # L, layers, at least 1
  m.width = 64  # D, at least 1
  m.heads = 4  # N, at least 1; must divide width
  m.kv_heads = placeholder(int)  # K, at least 1; must divide heads; None: heads
  m.mlp_ratio = 4.0  # F / D, at least 0; 0: no MLP
  m.mlp = 'gelu'  # gelu, relu or silu; gated_gelu, gated_silu ...
  m.num_experts = 1  # MLPs of a layer, top-1 routing, at least 1; 1: no routing
  m.moe_capacity_factor = 2.0  # tokens that an expert takes / its equal share;
  # above 0
  m.moe_eval_capacity_factor = 8.0  # the same, in evaluation; above 0
  m.moe_aux_loss_weight = 0.01  # of the load-balancing loss, at least 0
  m.norm = 'layernorm'  # or 'rmsnorm'
  m.bias = True  # in linear maps and layer norms
  m.tie_embeddings = True  # output embedding = input embedding
  m.qk_norm = False  # RMS norm of queries and keys
  m.rope_fraction = 0.25  # share of a head's dimensions that rotate; in [0, 1]
  m.rope_theta = 10_000.0  # base of the rotations' wavelengths, above 0
  m.positions = 'rotary'  # 'rotary' (as by rope_fraction), 'absolute',
  # 'distance' or 'uniform': physics_lm/model/positions.py
  m.canon = ''  # sites of Canon layers: letters of 'abcd', in this order:
  # physics_lm/model/canon.py
  m.canon_fixed = False  # their weights do not train
  m.dropout = 0.0  # after the embedding, attention and MLP; in [0, 1)
  m.dtype = 'float32'  # of activations; parameters stay float32
  return m


def _adapter() -> ConfigDict:
  """Trains an adapter of init_from's model, whose parameters stay fixed."""
  a = ConfigDict()
  a.kind = 'none'  # all parameters train; or 'lora', 'whole', 'bias', 'ia3',
  # 'prefix', 'prompt', 'bottleneck', 'lora_moe': physics_lm/model/adapters.py
  a.target_modules = 'query,value'  # comma-separated; 'lora', 'lora_moe' and
  # 'whole'
  a.rank = 8  # of 'lora', at least 0, and of an expert; units of 'bottleneck'
  a.experts = 4  # of 'lora_moe', at least 1
  a.embedding_rank = 128  # of 'lora', at least 0; 0: the embedding stays fixed
  a.scale = 4.0  # of 'lora' and 'lora_moe': W + scale * A B; any number
  a.num_virtual_tokens = 16  # vectors of 'prefix' and 'prompt', at least 1
  a.penalty = 0.0  # decoupled L1, in learning rates, at least 0: most of a
  # 'whole', 'bias' or 'ia3' stays exactly zero (physics_lm/optim.py: selective)
  return a


def _teacher() -> ConfigDict:
  """Soft labels: training on a law of the next token (teacher.py)."""
  t = ConfigDict()
  t.run = ''  # none; 'law': the exact law of a Markov world; folders or ids of
  # finished runs, comma-separated: the mean of their probabilities
  t.weight = 1.0  # of the soft loss, the hard one has the rest; in [0, 1]
  t.temperature = 1.0  # of both laws, above 0
  t.top = 0  # outcomes kept, at least 0; 0: all
  t.rest = 'renormalise'  # the other outcomes: left out; 'tail': one outcome;
  # or `top` draws: 'sampled'
  t.divergence = 'forward'  # D(teacher || student) or 'reverse'
  # Weights of terms on the last hidden states of one run (teacher_states.py):
  t.features = 0.0  # the same width; at least 0
  t.relations = 0.0  # between positions, any width; at least 0
  return t


def _post() -> ConfigDict:
  """Post-training on sampled answers (physics_lm/posttrain/). Rows of a step
  are data.batch_size answers; prompts are of data.tasks."""
  p = ConfigDict()
  p.kind = ''  # none; policy gradients: 'reinforce', 'ppo', 'gspo', 'cispo';
  # on pairs: 'dpo', 'ipo', 'kto', 'simpo' (two rows a pair); a head that scores
  # answers, on pairs too: 'reward_model', 'outcome_verifier',
  # 'process_verifier'
  p.reward = 'full'  # or 'outcome', 'process', 'length', 'random', 'any',
  # 'vote', 'likely', 'noisy:TPR:FPR', 'count', 'bend:PEAK', 'model',
  # 'model_min', a judge's 'grade' or 'judge', sums as "full+0.1*process":
  # posttrain/reward.py
  p.reward_run = ''  # comma-separated folders or ids of the reward models that
  # 'model' (their mean) and 'model_min' (their least) ask
  p.judge_run = ''  # folder or id of the run that 'grade' and 'judge' ask; '':
  # the policy itself
  p.reward_offset = 0.0  # added to every reward, any number
  p.samples = 8  # G, answers to a prompt, at least 1; not of 'corrupt:K'
  p.tokens = 16  # of an answer, at least 1
  p.temperature = 1.0  # of sampling, and of the policy that trains; above 0
  p.every = 1  # steps that use one rollout, at least 1
  p.epochs = 1  # passes over a rollout, at least 1; must divide `every`
  p.baseline = 'loo'  # 'none', 'mean', 'loo', 'group_std', 'batch_std';
  # 'value': a critic, by token; 'filter': own correct answers alone, supervised
  # (RFT)
  p.discount = 1.0  # gamma of 'value', in [0, 1]
  p.trace = 1.0  # lambda of 'value' (GAE), in [0, 1]
  p.value_weight = 0.1  # of the critic's loss, at least 0
  p.norm = 'constant'  # 'token', 'sequence' or 'prompt': what is averaged
  p.clip_low = 0.2  # in [0, 1]: ratios of 'ppo', 'gspo' and 'cispo', all 1 at a
  # rollout's first step, are clipped below 1 - clip_low
  p.clip_high = 0.2  # at least 0: and beyond 1 + clip_high
  p.kl = 'none'  # to init_from: 'exact', 'k2', 'k3', 'k1' in the loss, or
  # 'k1_reward'
  p.beta = 0.0  # weight of the KL, or of preference losses; at least 0
  p.pairs = 'samples'  # of the frozen run; 'policy': of the policy itself;
  # 'data': the world's answer, and one of the frozen run (SPIN); 'corrupt:K':
  # the right answer, and one with K changes
  p.pairs_run = ''  # folder or id of the run that 'samples', and answers beside
  # 'data', are of; '': init_from
  p.label_noise = 0.0  # share of pairs that are flipped, in [0, 1]
  p.smoothing = 0.0  # share of labels taken to be flipped (cDPO), in [0, 0.5];
  # of 'dpo', 'simpo' and 'reward_model'
  p.margin = 0.0  # gamma of 'simpo', any number
  p.nll = 0.0  # weight of the better answer's own loss (RPO), at least 0
  return p


def _optim() -> ConfigDict:
  o = ConfigDict()
  o.name = 'adamw'  # or 'muon', for the layers' matrices: physics_lm/optim.py
  o.learning_rate = 3e-3  # peak, at least 0
  o.schedule = 'cosine'  # 'cosine', 'linear', 'constant', 'wsd' or 'wsd_sqrt'
  o.warmup_steps = 100  # linear from 0; at least 0
  o.decay_fraction = 0.2  # share of the steps in the cooldown of 'wsd' and
  # 'wsd_sqrt'; in [0, 1]
  o.final_lr_fraction = 0.1  # last learning rate / peak; in [0, 1]
  o.b1 = 0.9  # decay of Adam's first moment, not of Muon's; in [0, 1)
  o.b2 = 0.98  # decay of its second moment; in [0, 1)
  o.eps = 1e-6  # of Adam's denominator, at least 0
  o.weight_decay = 0.1  # on matrices and embeddings only, at least 0
  o.grad_clip_norm = 1.0  # global gradient norm, at least 0; 0: no clipping
  o.layer_decay = 1.0  # factor on the rate from a layer to the one below; in
  # (0, 1]
  o.unfreeze_every = 0  # steps until one layer more trains, from the last down
  # to the embedding, at least 0; 0: all from the start
  return o


def _runtime() -> ConfigDict:
  r = ConfigDict()
  r.mesh = ConfigDict()  # devices on each axis
  r.mesh.pop = -1  # of a population; at least 1, or -1: most that divide both
  r.mesh.data = -1  # of rows; at least 1, or -1: all that are left
  r.mesh.fsdp = 1  # of parameters; at least 1, or -1
  r.mesh.tensor = 1  # of heads and MLP units; at least 1, or -1
  r.mesh.expert = 1  # of experts; at least 1, or -1
  r.distributed = ConfigDict()  # a job of several processes
  r.distributed.coordinator = placeholder(str)  # 'address:port' of process 0;
  # None: from the cluster (Slurm, TPU pods), else this process alone
  r.distributed.count = placeholder(int)  # processes, at least 1
  r.distributed.index = placeholder(int)  # of this process, at least 0
  r.distributed.timeout = 30  # seconds without a heartbeat until one is dead;
  # at least 1
  r.branch_from = placeholder(str)  # folder or id of a run with the same
  # config up to the start of its cooldown: resume from that one's checkpoint
  r.max_vmapped_runs = placeholder(int)  # runs that the launcher trains in one
  # program, at least 1; None: one on a CPU, as many as fit on an accelerator
  r.grad_accum_steps = 1  # micro-batches of a step, at least 1; must divide
  # batch_size
  r.remat = False  # recompute a layer's activations in the backward pass
  r.attention = 'auto'  # by platform and shape, or 'xla' (the plain formula),
  # 'splash' (TPU), 'cudnn' (GPU, bfloat16): physics_lm/model/kernels.py
  r.workers = 0  # loader processes, at least 0; 0: a thread
  r.prefetch = 4  # batches made ahead, at least 0
  return r


def get_config() -> ConfigDict:
  """The defaults: a tiny model on 500 people."""
  c = ConfigDict()
  c.steps = 2000  # optimizer steps, at least 0; 0, with init_from: evaluation
  # only
  c.init_from = placeholder(str)  # folder or id of a finished run to start from

  c.seed = ConfigDict()
  c.seed.init = 0  # of parameters and dropout; in [0, 2 ** 32)
  c.seed.data = 0  # of which examples go into which row; in [0, 2 ** 63)
  c.seed.world = 0  # of people, values and templates; in [0, 2 ** 63)

  c.worlds = ConfigDict({'bios': biographies()})
  c.data = _data()
  c.model = _model()
  c.adapter = _adapter()
  c.teacher = _teacher()
  c.post = _post()
  c.optim = _optim()
  c.evals = ConfigDict({name: evaluation(name)
                        for name in ('loss', 'extraction')})

  c.checkpoint = ConfigDict()
  c.checkpoint.every = 500  # steps, at least 1; the last step is always saved
  c.checkpoint.keep = 2  # newest checkpoints kept, at least 1

  c.log = ConfigDict()
  c.log.every = 50  # steps, at least 1
  c.log.loss_band = ''  # JSON file of the expected loss; '': none
  c.log.wandb = 'off'  # 'off', 'offline' or 'online'
  c.log.project = 'physics_lm'  # of wandb

  c.runtime = _runtime()
  return c
