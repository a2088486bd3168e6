package runtimes_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// returnedCase is a value that a Python handler returns, and what becomes of it.
type returnedCase struct {
	expression string
	json       string // "" if absent
	text       string // "-" if absent
	refused    string // part of the error ResultNotSerializable, or of another type before a colon
}

// returnCases runs a worker whose handler returns each of the values once.
func returnCases(t *testing.T, in language, code string, cases map[string]returnedCase, options ...option) {
	t.Helper()
	var names []string
	code += "\nVALUES = [\n"
	for name, tc := range cases {
		names = append(names, name)
		code += "    lambda: " + tc.expression + ",\n"
	}
	code += "]\ndef handler(event):\n    return VALUES[event[0]]()\n"
	e := newExchange(t, len(names))
	e.batch = 200
	run(t, in, e, code, options...)
	for i, name := range names {
		tc, o := cases[name], e.outcome(t, i)
		if tc.refused != "" {
			kind, text, found := strings.Cut(tc.refused, ": ")
			if !found || strings.ContainsAny(kind, " $") {
				kind, text = "ResultNotSerializable", tc.refused
			}
			if o.Error == nil || o.Error.Type != kind || !strings.Contains(o.Error.Message, text) || o.Crash {
				t.Errorf("%s is %s %s (%+v), not an error %s with %q", name, o.Status, o.Result, o.Error, kind, text)
			}
			continue
		}
		want := reported{Status: "Succeeded", JSON: tc.json, Text: tc.text}
		if diff := cmp.Diff(want, reportedBy(o)); diff != "" {
			t.Errorf("%s (-want +got):\n%.2000s\n%+v", name, diff, o.Error)
		}
	}
}

const ownTypes = `
import collections, dataclasses, datetime, decimal, enum, pathlib, types, unittest.mock, uuid
class Level(enum.IntEnum):
    LOW = 1
class Colour(enum.Enum):
    RED = ('r', 0.5)
class Mode(str, enum.Enum):
    FAST = 'fast'
Point = collections.namedtuple('Point', 'x y')
@dataclasses.dataclass
class Box:
    size: int
    inner: object = None
    def __deepcopy__(self, memo):
        raise AssertionError('copied')
class Output(collections.OrderedDict):   # as Hugging Face's ModelOutput: a dataclass that is a dictionary, too
    pass
Output = dataclasses.dataclass(type('Output', (collections.OrderedDict,), {'__annotations__': {'logits': object}, 'logits': None}))
def output(**fields):
    made = Output()
    made.update(fields)
    return made
class Model:                             # as pydantic
    model_fields = {'name': None, 'parts': None}
    def __init__(self, name, parts):
        self.name, self.parts = name, parts
    def __repr__(self):
        return 'Model(...)'
class Custom:
    def __str__(self):
        return 'custom'
class Plain:
    pass
class Proxy:
    def __getattr__(self, name):
        return lambda *_: [1]
    def __repr__(self):
        return 'a proxy'
class Array:                             # as jax and cupy
    dtype = 'bfloat16'
    def __init__(self, values, shape, log=None):
        self.values, self.shape, self.log = values, shape, log
    def __len__(self):
        return len(self.values)
    def item(self):
        return self.values[0]
    def tolist(self):
        if self.log is not None:
            raise RuntimeError(self.log)
        return self.values
class Tensor:                            # as TensorFlow
    dtype, shape = 'float32', (2,)
    def __len__(self):
        return 2
    def numpy(self):
        return Array([1.5, 2.5], (2,))
    def __iter__(self):
        raise TypeError('not in graph mode')
class Guarded(Tensor):                   # as torch
    def detach(self):
        return Device()
    def numpy(self):
        raise RuntimeError('it requires grad')
class Device:
    def cpu(self):
        return Array([3.5], (1,))
class Scalar:                            # as numpy's longdouble
    dtype = 'longdouble'
    def item(self):
        return self
    def __float__(self):
        return 0.5
    def __str__(self):
        return '0.50'
    def __sub__(self, other):
        return 0.0
class Sparse:                            # as scipy's
    nnz, shape, dtype = 1, (1, 1), 'float32'
    def toarray(self):
        return Array([[1]], (1, 1))
    def __repr__(self):
        return '<1x1 sparse matrix>'
circle = []
circle.append(circle)
loop = {'name': {}}
loop['name']['back of it'] = loop
def nested(n, value=0):
    for _ in range(n):
        value = [value]
    return value
def numbers():
    yield 1
    yield Point(2, 3)
def fails():
    yield 1
    raise ValueError('in the generator')
def endless():
    while True:
        yield 'x' * 1000
class Once:
    def __init__(self):
        self.left = 3
    def __iter__(self):
        return self
    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left
async def later(value):
    import asyncio
    await asyncio.sleep(0)
    return value
async def several():
    for i in range(3):
        yield i
`

var returnedTypes = map[string]returnedCase{
	"a number of a subclass":             {expression: `[Level.LOW]`, json: `[1]`, text: "[1]"},
	"a member of an enumeration":         {expression: `Colour.RED`, json: `["r",0.5]`, text: "['r', 0.5]"},
	"a member that is a text":            {expression: `[Mode.FAST]`, json: `["fast"]`, text: "['fast']"},
	"a named tuple":                      {expression: `Point(1, 2)`, json: `{"x":1,"y":2}`, text: "{'x': 1, 'y': 2}"},
	"a dataclass":                        {expression: `Box(1, Box(2))`, json: `{"size":1,"inner":{"size":2,"inner":null}}`, text: "{'size': 1, 'inner': {'size': 2, 'inner': None}}"},
	"a dataclass that is a dictionary":   {expression: `output(logits=Tensor())`, json: `{"logits":[1.5,2.5]}`, text: "{'logits': [1.5, 2.5]}"},
	"a model of pydantic":                {expression: `Model('m', {Point(1, 2)})`, json: `{"name":"m","parts":[{"x":1,"y":2}]}`, text: "{'name': 'm', 'parts': [{'x': 1, 'y': 2}]}"},
	"a date":                             {expression: `{'at': datetime.date(2024, 1, 2)}`, json: `{"at":"2024-01-02"}`, text: "{'at': '2024-01-02'}"},
	"a time":                             {expression: `datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc)`, json: `"2024-01-02T03:00:00+00:00"`, text: "2024-01-02 03:00:00+00:00"},
	"a decimal number":                   {expression: `[decimal.Decimal('1.10')]`, json: `["1.10"]`, text: "['1.10']"},
	"a UUID":                             {expression: `uuid.UUID(int=5)`, json: `"00000000-0000-0000-0000-000000000005"`, text: "00000000-0000-0000-0000-000000000005"},
	"a path":                             {expression: `pathlib.Path('/x')`, json: `"/x"`, text: "/x"},
	"a set":                              {expression: `{1}`, json: `[1]`, text: "{1}"},
	"a set in a dictionary":              {expression: `{'s': frozenset([2])}`, json: `{"s":[2]}`, text: "{'s': frozenset({2})}"},
	"bytes in a dictionary":              {expression: `{'b': b'a\xff', 'c': 1j}`, json: `{"b":"b'a\\xff'","c":"1j"}`, text: `{'b': b'a\xff', 'c': 1j}`},
	"numbers that are not finite":        {expression: `{'loss': [float('nan'), float('inf'), float('-inf'), 1.5]}`, json: `{"loss":["NaN","Infinity","-Infinity",1.5]}`, text: "{'loss': [nan, inf, -inf, 1.5]}"},
	"not a number as a key":              {expression: `{float('nan'): 1}`, json: `{"NaN":1}`, text: "{nan: 1}"},
	"a key that is a number":             {expression: `{2.5: {None: True}}`, json: `{"2.5":{"null":true}}`, text: "{2.5: {None: True}}"},
	"a key that is a date":               {expression: `{datetime.date(2024, 1, 2): 1}`, json: `{"2024-01-02":1}`, text: "{'2024-01-02': 1}"},
	"a view of a dictionary":             {expression: `types.MappingProxyType({'a': {1: 2}.items()})`, json: `{"a":[[1,2]]}`, text: "{'a': [[1, 2]]}"},
	"a deque":                            {expression: `collections.deque([1, (2,)])`, json: `[1,[2]]`, text: "[1, [2]]"},
	"a range":                            {expression: `range(3)`, json: `[0,1,2]`, text: "[0, 1, 2]"},
	"a default dictionary":               {expression: `collections.defaultdict(int, b=1, a=2)`, json: `{"b":1,"a":2}`, text: "defaultdict(<class 'int'>, {'b': 1, 'a': 2})"},
	"texts that look like other values":  {expression: `[{'a': 'f(x): y', '1': "it's: (1)"}, (1, ((2,),))]`, json: `[{"a":"f(x): y","1":"it's: (1)"},[1,[[2]]]]`, text: `[{'a': 'f(x): y', '1': "it's: (1)"}, (1, ((2,),))]`},
	"an array":                           {expression: `{'pred': Array([[1, 2.5], [float('nan'), 4]], (2, 2))}`, json: `{"pred":[[1,2.5],["NaN",4]]}`, text: "{'pred': [[1, 2.5], ['NaN', 4]]}"},
	"an array without dimensions":        {expression: `Array(0.5, ())`, json: `0.5`, text: "0.5"},
	"a tensor":                           {expression: `Tensor()`, json: `[1.5,2.5]`, text: "[1.5, 2.5]"},
	"a tensor of a device":               {expression: `(Guarded(),)`, json: `[[3.5]]`, text: "[[3.5]]"},
	"a scalar that is its own item":      {expression: `Scalar()`, json: `0.5`, text: "0.50"},
	"an object with a text":              {expression: `Custom()`, text: "custom"},
	"an object with a text, in a list":   {expression: `[Custom()]`, json: `["custom"]`, text: "['custom']"},
	"a proxy that answers to every name": {expression: `[Proxy()]`, json: `["a proxy"]`, text: "['a proxy']"},
	"a named tuple, 150 levels deep":     {expression: `nested(150, Point(1, 2))`, json: strings.Repeat("[", 150) + `{"x":1,"y":2}` + strings.Repeat("]", 150), text: strings.Repeat("[", 150) + "{'x': 1, 'y': 2}" + strings.Repeat("]", 150)},

	"a generator":                             {expression: `numbers()`, json: `[1,{"x":2,"y":3}]`, text: "[1, {'x': 2, 'y': 3}]"},
	"a generator in a dictionary":             {expression: `{'g': numbers()}`, json: `{"g":[1,{"x":2,"y":3}]}`, text: "{'g': [1, {'x': 2, 'y': 3}]}"},
	"a map":                                   {expression: `map(str, [1, 2])`, json: `["1","2"]`, text: "['1', '2']"},
	"a zip":                                   {expression: `zip('ab', [1, 2])`, json: `[["a",1],["b",2]]`, text: "[['a', 1], ['b', 2]]"},
	"an iterator":                             {expression: `Once()`, json: `[2,1,0]`, text: "[2, 1, 0]"},
	"a coroutine":                             {expression: `later(5)`, json: `5`, text: "-"},
	"a coroutine of a coroutine":              {expression: `later(later([1]))`, json: `[1]`, text: "[1]"},
	"a coroutine of a generator":              {expression: `later(numbers())`, json: `[1,{"x":2,"y":3}]`, text: "[1, {'x': 2, 'y': 3}]"},
	"an asynchronous generator":               {expression: `several()`, json: `[0,1,2]`, text: "[0, 1, 2]"},
	"an asynchronous generator in a list":     {expression: `[several()]`, json: `[[0,1,2]]`, text: "[[0, 1, 2]]"},
	"a generator that fails":                  {expression: `fails()`, refused: "ValueError: in the generator"},
	"a generator without an end":              {expression: `{'a': endless()}`, refused: "ResultTooLarge: more than the limit of"},
	"a coroutine in a list":                   {expression: `[1, later(2)]`, refused: "$[1] is of the type coroutine and was not awaited: await it before you return it, several at once with asyncio.gather"},
	"a coroutine in a result that is awaited": {expression: `later({'a': later(2)})`, refused: "$.a is of the type coroutine and was not awaited"},

	"an array that is too large":        {expression: `Array([], (3000, 3000))`, refused: "ResultTooLarge: more than the limit of"},
	"an array whose device is lost":     {expression: `{'pred': [0, Array([1], (1,), 'the device was lost')]}`, refused: "$.pred[1] is of the type Array and cannot be converted (RuntimeError: the device was lost)"},
	"a sparse matrix":                   {expression: `[Sparse()]`, refused: "$[0] is of the type Sparse and is sparse: return its coordinates and values"},
	"an object without a text":          {expression: `{'a b': [Plain()]}`, refused: `$["a b"][0] is of the type Plain and its text shows only where it is in memory: return its data as numbers, strings, lists and dictionaries`},
	"a mock":                            {expression: `unittest.mock.MagicMock()`, refused: "its text shows only where it is in memory"},
	"a mock of an array":                {expression: `[unittest.mock.Mock(spec=Array)]`, refused: "$[0] is of the type unittest.mock.Mock"},
	"a function":                        {expression: `handler`, refused: "$ is of the type function and is not data"},
	"a class":                           {expression: `[Box]`, refused: "$[0] is of the type type and is not data"},
	"an open file":                      {expression: `open('/dev/null')`, refused: "return what you read from it"},
	"a list in itself":                  {expression: `circle`, refused: "$[0] is of the type list and contains itself"},
	"a dictionary in itself":            {expression: `loop`, refused: `$.name["back of it"] is of the type dict and contains itself`},
	"keys that are the same":            {expression: `{1: 'a', '1': 'b'}`, refused: "its keys 1 and '1' are the same in JSON"},
	"keys that are the same, in a list": {expression: `[{None: 1, 'null': 2}]`, refused: "$[0] is of the type dict"},
	"named tuples of too many levels":   {expression: `nested(300, Point(1, 2))`, refused: "nested more than 200 levels deep"},
	"a list of 12,000 levels":           {expression: `nested(12000)`, refused: "nested too deeply"},
	"a dictionary of a million levels":  {expression: `nested(1000000, {})`, refused: "nested too deeply"},
}

func TestAResultOfAnyTypeIsConvertedOrRefused(t *testing.T) {
	t.Parallel()
	returnCases(t, needPython3(t), ownTypes, returnedTypes)
}

func TestAResultOfManyLevelsIsStored(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		// With the limit raised, the encoder itself must stop before the stack of C ends.
		for _, code := range []string{"", "import sys\nsys.setrecursionlimit(1000000)\n"} {
			e := newExchange(t, 6)
			levels := []string{"1", "9900", "10100", "12000", "1000000", "3"}
			run(t, in, e, code+"def handler(event):\n    value = 0\n    for _ in range(["+strings.Join(levels, ", ")+"][event[0]]):\n        value = [value]\n    return value\n")
			for i, level := range levels {
				o := e.outcome(t, i)
				if deep := len(level) > 4; deep != (o.Error != nil && o.Error.Type == "ResultNotSerializable") || deep == (o.Status == "Succeeded") {
					t.Errorf("%s levels are %s (%+v)", level, o.Status, o.Error)
				}
			}
		}
	})
}

func TestAResultIsAwaitedAndConsumedInTheTimeOfItsInput(t *testing.T) {
	t.Parallel()
	e := newExchange(t, 5)
	run(t, needPython3(t), e, `
import sys, time
closed = []
def numbers():
    try:
        for i in range(3):
            print('number', i)
            time.sleep(0.05)
            yield i
    finally:
        closed.append(1)
async def awaited(fails):
    import asyncio
    print('awaited')
    await asyncio.sleep(0.15)
    if fails:
        raise KeyError('awaited')
    return 7
async def asynchronous():
    for i in numbers():
        yield i
def handler(event):
    return [numbers, lambda: awaited(False), lambda: awaited(True), asynchronous, lambda: len(closed)][event[0]]()
`)
	for i, want := range []struct{ result, stdout string }{
		{"[0,1,2]", "number 0\nnumber 1\nnumber 2\n"}, {"7", "awaited\n"}, {"", "awaited\n"}, {"[0,1,2]", "number 0\nnumber 1\nnumber 2\n"},
	} {
		o := e.outcome(t, i)
		if string(o.Result) != want.result || string(o.Stdout) != want.stdout || o.DurationMicros < 140_000 {
			t.Errorf("%d returned %s, printed %q and took %d µs (%+v)", i, o.Result, o.Stdout, o.DurationMicros, o.Error)
		}
	}
	wantTrace := "Traceback (most recent call last):\n  File \"handler.py\", line 17, in awaited\n"
	if o := e.outcome(t, 2); o.Error == nil || o.Error.Type != "KeyError" || !strings.HasPrefix(o.Error.Traceback, wantTrace) {
		t.Errorf("the error of what was awaited is %+v", o.Error)
	}
	if got := string(e.outcome(t, 4).Result); got != "2" {
		t.Errorf("%s iterators were closed", got)
	}
}

func TestAGeneratorThatIsTooLargeIsClosed(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 2)
		e.limits["resultBytes"] = 1000
		run(t, in, e, `
closed = []
def numbers():
    try:
        while True:
            yield 1
    finally:
        closed.append(1)
def handler(event):
    return numbers() if event[0] == 0 else closed
`)
		if o := e.outcome(t, 0); o.Error == nil || o.Error.Type != "ResultTooLarge" {
			t.Errorf("an endless generator is %s (%+v)", o.Status, o.Error)
		}
		if got := string(e.outcome(t, 1).Result); got != "[1]" {
			t.Errorf("it was closed %s", got)
		}
	})
}

func TestAwaitingUsesTheLoopOfTheModule(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ setup, want string }{
		"its own":           {"loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\n", "true"},
		"one for all":       {"loop = None\n", "false"},
		"one after another": {"loop = None\nasync def nothing():\n    pass\nasyncio.run(nothing())\n", "false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 2)
			run(t, needPython3(t), e, "import asyncio\n"+tc.setup+`
seen = []
async def handler(event):
    running = asyncio.get_running_loop()
    seen.append(running)
    return [running is loop, running is seen[0]]
`)
			for i := range 2 {
				if got := string(e.outcome(t, i).Result); got != "["+tc.want+",true]" {
					t.Errorf("the handler of %d ran on the loop %s (%+v)", i, got, e.outcome(t, i).Error)
				}
			}
		})
	}
}

func TestAPlainResultDoesNotImportAsyncio(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 2)
		run(t, in, e, "import sys\ndef handler(event):\n    return [name for name in ('asyncio', 'enum', 'numpy', 'datetime', 'dataclasses') if name in sys.modules and name != 'enum']\n")
		if got := string(e.outcome(t, 1).Result); got != "[]" {
			t.Errorf("the runner has imported %s", got)
		}
	})
}

func TestABatchIsAwaitedAndConsumed(t *testing.T) {
	for name, tc := range map[string]struct {
		code string
		want outcomesOfFour
	}{
		"an asynchronous handler":   {"async def handler(events):\n    return [event[0] for event in events]\n", nil},
		"a generator":               {"def handler(events):\n    for event in events:\n        yield event[0]\n", nil},
		"an asynchronous generator": {"async def handler(events):\n    for event in events:\n        yield event[0]\n", nil},
		"a map":                     {"def handler(events):\n    return map(len, events)\n", nil},
		"a generator of results":    {"def handler(events):\n    return [(i for i in event) for event in events]\n", nil},
		"too many":                  {"import itertools\ndef handler(events):\n    return itertools.count()\n", allFour("one result for each of its 4 events, and not a list of 5")},
		"one that fails":            {"def handler(events):\n    yield 1\n    raise ValueError('in it')\n", allFour("ValueError: in it")},
		"a coroutine in its place":  {"async def one():\n    pass\ndef handler(events):\n    return [1, one(), 3, 4]\n", outcomesOfFour{1: "asyncio.gather"}},
		"a result that is no data":  {"def handler(events):\n    return [1, 2, object(), 4]\n", outcomesOfFour{2: "ResultNotSerializable"}},
		"a text":                    {"def handler(events):\n    return 'four'\n", allFour("and not str")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callOfFour(t, needPython3(t), tc.code, tc.want)
		})
	}
}

// refusing is an exchange that answers 400 to calls that report one of these inputs.
func refusing(t *testing.T, e *exchange, poison ...int) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for _, index := range poison {
			if bytes.Contains(body, fmt.Appendf(nil, `{"index":%d,"status":"Succeeded"`, index)) {
				http.Error(w, `{"error": "the body is not a request of the exchange"}`, http.StatusBadRequest)
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
}

func TestOneOutcomeThatTheExchangeRefusesFailsAlone(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 40)
		e.batch = 40
		refusing(t, e, 7, 8, 30)
		run(t, in, e, trivial(in))
		for i := range 40 {
			o := e.outcome(t, i)
			if refused := i == 7 || i == 8 || i == 30; refused {
				if o.Status != "Failed" || o.Error.Type != "ResultRefused" || !strings.Contains(o.Error.Message, "the body is not a request") || o.StartTime == 0 {
					t.Errorf("the refused outcome of %d is %s (%+v)", i, o.Status, o.Error)
				}
			} else if string(o.Result) != fmt.Sprint(2*i) {
				t.Errorf("the outcome of %d is %s %s (%+v)", i, o.Status, o.Result, o.Error)
			}
		}
	})
}
