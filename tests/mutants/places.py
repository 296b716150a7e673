"""Where heartbeat.c can be changed a little, so that a test should notice.

places(source) lists every such change in functions and constant tables:

    operators   + for -, && for ||, << for >>, ...
    bounds      < for <=, > for >=; a *_MAX or *_SIZE that is one larger
    conditions  if (x) for if (!(x)), == for !=, x for !x
    constants   a number or character that is one larger; true for false
    statements  a call, an assignment, a break, continue or return is left out

It reads tokens, not a grammar: what it makes need not compile.
"""
import hashlib
import re
from collections import Counter, namedtuple

KINDS = ('operators', 'bounds', 'conditions', 'constants', 'statements')

# Of the source: from `start` up to `end` stands `after` instead.  `name` tells
# it from all others, and stays as it is while its function's other lines
# change.
Place = namedtuple('Place', 'kind section function line start end after name')

Token = namedtuple('Token', 'kind text start end')

TOKEN = re.compile(r'''
    (?P<blank>   \s+ | /\*.*?\*/ | ^[ ]*\#(?:\\\n|[^\n])* )
  | (?P<string>  "(?:\\.|[^"\\])*" )
  | (?P<char>    '(?:\\.|[^'\\])*' )
  | (?P<number>  \d\w* )
  | (?P<word>    [A-Za-z_]\w* )
  | (?P<sign>    \.\.\. | <<= | >>= | -> | \+\+ | -- | && | \|\|
               | [-+*/%&|^<>=!]= | << | >> | . )
''', re.VERBOSE | re.DOTALL | re.MULTILINE)

# Between two operands; elsewhere - and & are other operators.
BINARY = {'+': '-', '-': '+', '*': '/', '/': '*', '%': '/', '&': '|', '|': '&',
          '^': '|', '<<': '>>', '>>': '<<', '&&': '||', '||': '&&',
          '+=': '-=', '-=': '+=', '|=': '&=', '&=': '|=', '^=': '|=',
          '<<=': '>>=', '>>=': '<<='}
STEPS = {'++': '--', '--': '++'}
BOUNDS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>'}
EQUALITY = {'==': '!=', '!=': '=='}
TRUTH = {'true': 'false', 'false': 'true'}
KEYWORDS = {'if', 'else', 'for', 'while', 'do', 'switch', 'case', 'default',
            'return', 'break', 'continue', 'static', 'const', 'enum', 'struct',
            'union', 'typedef', 'sizeof', 'volatile', 'unsigned'}


def tokens_of(source):
    return [Token(m.lastgroup, m.group(), m.start(), m.end())
            for m in TOKEN.finditer(source) if m.lastgroup != 'blank']


def partners(tokens):
    """The number of the bracket that closes each one that opens."""
    closing, opened = {}, []
    for i, token in enumerate(tokens):
        if token.text in ('(', '[', '{'):
            opened.append(i)
        elif token.text in (')', ']', '}'):
            closing[opened.pop()] = i
    return closing


def bodies(tokens, closing):
    """Of each function and table: its name, and its first and last token."""
    i, begin = 0, 0
    while i < len(tokens):
        text = tokens[i].text
        if text == ';':
            begin = i + 1
        elif text == '{':
            head = tokens[begin:i]
            is_code = head[-1].text in (')', '=')
            names = [a.text for a, b in zip(head, head[1:])
                     if a.kind == 'word' and b.text in ('(', '[', '=')]
            if is_code and head[0].text not in ('ASSERT', 'typedef'):
                yield names[0], i, closing[i]
            i = closing[i]
            if head[-1].text == ')':
                begin = i + 1
        elif text in ('(', '['):
            i = closing[i]
        i += 1


def is_declaration(statement):
    """Begins with two words, or with a word, stars and a word."""
    words = [t for t in statement if t.text != '*'][:2]
    return statement[0].text in KEYWORDS - {'break', 'continue', 'return'} or (
        len(words) == 2 and all(t.kind == 'word' for t in words) and
        statement[0].kind == 'word' and words[0].text not in KEYWORDS)


def statements(tokens, closing, first, last):
    """Each that ends in a semicolon: its first token, and its semicolon."""
    begin = i = first + 1
    while i < last:
        text = tokens[i].text
        if text == ';':
            yield begin, i
            begin = i + 1
        elif text in ('{', '}', 'else', 'do') or \
                text == ':' and tokens[begin].text in ('case', 'default'):
            begin = i + 1
        elif text in ('(', '['):
            is_head = text == '(' and i == begin + 1 and \
                tokens[begin].text in ('if', 'for', 'while', 'switch')
            i = closing[i]
            if is_head:
                begin = i + 1
        elif text == '=' and tokens[i + 1].text == '{':
            i = closing[i + 1]
        i += 1


def changes(source, tokens, closing, first, last):
    """Yields kind, start, end and after."""
    declared = set()  # the sizes of arrays: larger ones do no harm
    for begin, end in statements(tokens, closing, first, last):
        if begin == end:
            continue
        statement = tokens[begin:end]
        texts = [t.text for t in statement]
        if is_declaration(statement):
            declared.update(i + 1 for i in range(begin, end)
                            if tokens[i].text == '[')
        elif texts[0] != 'return' or len(texts) == 1:
            yield 'statements', tokens[begin].start, tokens[end].start, ''

    for i in range(first + 1, last):
        token, before = tokens[i], tokens[i - 1]
        text = token.text
        behind_operand = before.kind in ('word', 'number', 'char') and \
            before.text not in KEYWORDS or before.text in (')', ']')
        if i in declared:
            continue
        if text in ('if', 'while'):
            opened = i + 1
            inner = source[tokens[opened].end:tokens[closing[opened]].start]
            yield ('conditions', tokens[opened].end,
                   tokens[closing[opened]].start, '!(' + inner + ')')
        elif text == '!':
            yield 'conditions', token.start, token.end, ''
        elif text in EQUALITY:
            yield 'conditions', token.start, token.end, EQUALITY[text]
        elif text in BOUNDS:
            yield 'bounds', token.start, token.end, BOUNDS[text]
        elif text in STEPS:
            yield 'operators', token.start, token.end, STEPS[text]
        elif text in BINARY and behind_operand:
            yield 'operators', token.start, token.end, BINARY[text]
        elif text in TRUTH:
            yield 'constants', token.start, token.end, TRUTH[text]
        elif token.kind in ('number', 'char'):
            yield 'constants', token.start, token.end, '(' + text + ' + 1)'
        elif re.search('[A-Z]_(MAX|SIZE)$', text):
            yield 'bounds', token.start, token.end, '(' + text + ' + 1)'


def squeeze(text):
    return ' '.join(text.split())


def describe(source, start, end, after):
    """The lines of a change, before and after it."""
    begin = source.rfind('\n', 0, start) + 1
    stop = source.find('\n', end)
    changed = source[begin:start] + after + source[end:stop]
    return squeeze(source[begin:stop]) + ' → ' + squeeze(changed)


def places(source):
    tokens = tokens_of(source)
    closing = partners(tokens)
    banners = [(m.start(), m.group(1)) for m in
               re.finditer(r'^/\* ==== (.*?) =+ \*/$', source, re.MULTILINE)]
    found, seen = [], Counter()
    for function, first, last in bodies(tokens, closing):
        section = [name for at, name in banners if at < tokens[first].start][-1]
        for kind, start, end, after in changes(source, tokens, closing, first,
                                               last):
            name = function + ': ' + describe(source, start, end, after)
            seen[name] += 1
            if seen[name] > 1:
                name += ' (%d)' % seen[name]
            line = source.count('\n', 0, start) + 1
            found.append(Place(kind, section, function, line, start, end,
                               after, name))
    return found


def by_lot(found):
    """In an order that is drawn by their names alone, so that an edit of the
    source moves no others."""
    return sorted(found, key=lambda place: hashlib.sha256(
        place.name.encode()).digest())
