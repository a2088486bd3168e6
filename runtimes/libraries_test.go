package runtimes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needLibraries finds a Python 3 with numpy, pandas and torch, which hack/python-libraries.sh fetches.
func needLibraries(t *testing.T) (language, []option) {
	t.Helper()
	root, err := filepath.Abs("../bin/python-libraries")
	if err != nil {
		t.Fatal(err)
	}
	in, options := needPython3(t), []option{}
	if _, err := os.Stat(root); err == nil {
		out, err := exec.Command(root+"/python3", "-c", "import os, sys; print(sys.executable); print(os.environ['LD_LIBRARY_PATH'])").Output()
		if err != nil {
			t.Fatal(err)
		}
		path, folders, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		in = language{"python311", path}
		options = append(options, withEnv("LD_LIBRARY_PATH="+folders, "PYTHONPATH="+root+"/usr/lib/python3/dist-packages"))
	}
	command := exec.Command(in.path, "-c", "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(name) is None for name in ('numpy', 'pandas', 'torch')))")
	w := worker{cmd: command}
	for _, o := range options {
		o(&w)
	}
	command.Env = append(os.Environ(), command.Env...)
	if err := command.Run(); err != nil {
		t.Fatalf("the tests need numpy, pandas and torch, which hack/python-libraries.sh fetches: %v", err)
	}
	return in, options
}

var libraryValues = map[string]returnedCase{
	"a float of 64 bits":         {expression: `np.float64(0.5)`, json: `0.5`, text: "0.5"},
	"a float of 32 bits":         {expression: `np.float32(0.9755)`, json: `0.9754999876022339`, text: "0.9755"},
	"a float of 16 bits":         {expression: `{'loss': np.float16(0.25)}`, json: `{"loss":0.25}`, text: "{'loss': 0.25}"},
	"a float of 128 bits":        {expression: `np.longdouble(0.5)`, json: `0.5`, text: "0.5"},
	"a float beyond 64 bits":     {expression: `[np.longdouble('1e4000'), np.longdouble('inf')]`, json: `["1e+4000","Infinity"]`, text: "['1e+4000', 'Infinity']"},
	"not a number":               {expression: `np.float32('nan')`, text: "nan"},
	"not a number, in a list":    {expression: `[np.float64(1.5), np.float64('nan')]`, json: `[1.5,"NaN"]`, text: "[1.5, 'NaN']"},
	"an integer":                 {expression: `np.int64(7)`, json: `7`, text: "7"},
	"a boolean":                  {expression: `np.bool_(True)`, json: `true`, text: "True"},
	"numbers in a dictionary":    {expression: `{'loss': np.float32(0.25), np.int64(3): np.uint8(4)}`, json: `{"loss":0.25,"3":4}`, text: "{'loss': 0.25, '3': 4}"},
	"a text":                     {expression: `np.array(['a', 'b'])[0]`, json: `"a"`, text: "a"},
	"an array":                   {expression: `np.arange(6).reshape(2, 3)`, json: `[[0,1,2],[3,4,5]]`, text: "[[0, 1, 2], [3, 4, 5]]"},
	"an array of 2,000":          {expression: `{'pred': np.zeros(2000)}`, json: `{"pred":[` + strings.Repeat("0.0,", 1999) + `0.0]}`, text: "{'pred': [" + strings.Repeat("0.0, ", 1999) + "0.0]}"},
	"an array without size":      {expression: `[np.array(0.5), np.zeros((0, 3))]`, json: `[0.5,[]]`, text: "[0.5, []]"},
	"an array of texts":          {expression: `np.array(['a', 'b'])`, json: `["a","b"]`, text: "['a', 'b']"},
	"an array of objects":        {expression: `np.array([1, None, {2}], dtype=object)`, json: `[1,null,[2]]`, text: "[1, None, [2]]"},
	"an array of dates":          {expression: `np.array(['2024-01-02', 'NaT'], dtype='datetime64[D]')`, json: `["2024-01-02",null]`, text: "['2024-01-02', None]"},
	"an array of nanoseconds":    {expression: `np.array(['2024-01-02'], dtype='datetime64[ns]')`, json: `["2024-01-02T00:00:00.000000000"]`, text: "['2024-01-02T00:00:00.000000000']"},
	"a moment":                   {expression: `np.datetime64('2024-01-02T03:04')`, json: `"2024-01-02T03:04"`, text: "2024-01-02T03:04"},
	"a complex array":            {expression: `np.array([1 + 2j])`, json: `["(1+2j)"]`, text: "['(1+2j)']"},
	"a structured array":         {expression: `np.array([(1, 0.5)], dtype=[('a', 'i4'), ('b', 'f4', ())])`, json: `[{"a":1,"b":0.5}]`, text: "[{'a': 1, 'b': 0.5}]"},
	"a masked array":             {expression: `np.ma.array([1, 2], mask=[0, 1])`, json: `[1,null]`, text: "[1, None]"},
	"an array that is too large": {expression: `{'a': np.zeros((10 ** 9, 0))}`, refused: "ResultTooLarge: more than the limit of"},

	"a data frame":                {expression: `pd.DataFrame({'a': [1, 2], 'b': ['x', None]})`, json: `[{"a":1,"b":"x"},{"a":2,"b":null}]`, text: "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': None}]"},
	"a data frame of 100 rows":    {expression: `pd.DataFrame({'a': range(100)})`, json: records(100, `{"a":%d}`, ","), text: records(100, `{'a': %d}`, ", ")},
	"a data frame with an index":  {expression: `pd.DataFrame({'a': [1, 2]}, index=['x', 'y'])`, json: `[{"index":"x","a":1},{"index":"y","a":2}]`, text: "[{'index': 'x', 'a': 1}, {'index': 'y', 'a': 2}]"},
	"a data frame with names":     {expression: `pd.DataFrame({'a': [1, 2], 'k': [3, 3], 'l': [4, 5]}).set_index(['k', 'l'])`, json: `[{"k":3,"l":4,"a":1},{"k":3,"l":5,"a":2}]`, text: "[{'k': 3, 'l': 4, 'a': 1}, {'k': 3, 'l': 5, 'a': 2}]"},
	"a data frame without rows":   {expression: `{'df': pd.DataFrame({'a': []})}`, json: `{"df":[]}`, text: "{'df': []}"},
	"a data frame with times":     {expression: `pd.DataFrame({'t': pd.to_datetime(['2024-01-02', None]), 'n': pd.array([1, None], dtype='Int64')})`, json: `[{"t":"2024-01-02T00:00:00","n":1},{"t":null,"n":null}]`, text: "[{'t': '2024-01-02T00:00:00', 'n': 1}, {'t': None, 'n': None}]"},
	"labels that are numbers":     {expression: `[pd.DataFrame([[1, 2]])]`, refused: "$[0] is of the type pandas.core.frame.DataFrame and has the column label 0, which is not a string"},
	"labels that are there twice": {expression: `pd.DataFrame([[1, 2]], columns=['a', 'a'])`, refused: "the column label 'a', which is there twice"},
	"an index called as a column": {expression: `pd.DataFrame({'index': [1]}, index=[7])`, refused: "the column label 'index', which is there twice"},
	"a series":                    {expression: `pd.Series([0.5, float('nan')])`, json: `[0.5,"NaN"]`, text: "[0.5, 'NaN']"},
	"a series with an index":      {expression: `pd.Series([1, 2], index=['x', 'y'])`, json: `[["x",1],["y",2]]`, text: "[['x', 1], ['y', 2]]"},
	"a timestamp":                 {expression: `pd.Timestamp('2024-01-02')`, json: `"2024-01-02T00:00:00"`, text: "2024-01-02 00:00:00"},
	"no value":                    {expression: `[pd.NA, pd.NaT]`, json: `[null,null]`, text: "[None, None]"},
	"a sum":                       {expression: `pd.DataFrame({'a': [1, 2]}).a.sum()`, json: `3`, text: "3"},
	"an index":                    {expression: `pd.Index([1, 2])`, json: `[1,2]`, text: "[1, 2]"},

	"a tensor":                    {expression: `torch.arange(3)`, json: `[0,1,2]`, text: "[0, 1, 2]"},
	"a tensor of 2,000":           {expression: `torch.zeros(2000)`, json: `[` + strings.Repeat("0.0,", 1999) + `0.0]`, text: "[" + strings.Repeat("0.0, ", 1999) + "0.0]"},
	"a tensor without dimensions": {expression: `{'loss': torch.tensor(0.5), 'pred': torch.zeros(2, 1)}`, json: `{"loss":0.5,"pred":[[0.0],[0.0]]}`, text: "{'loss': 0.5, 'pred': [[0.0], [0.0]]}"},
	"a tensor with a gradient":    {expression: `torch.ones(2, requires_grad=True) * 2`, json: `[2.0,2.0]`, text: "[2.0, 2.0]"},
	"a tensor of 16 bits":         {expression: `torch.tensor([1.5], dtype=torch.bfloat16)`, json: `[1.5]`, text: "[1.5]"},
	"a list of tensors":           {expression: `[t for t in torch.arange(2)]`, json: `[0,1]`, text: "[0, 1]"},
	"a size":                      {expression: `torch.zeros(2, 3).shape`, json: `[2,3]`, text: "[2, 3]"},
	"the largest values":          {expression: `torch.tensor([1., 2.]).max(0)`, json: `[2.0,1]`, text: "[2.0, 1]"},
	"a sparse tensor":             {expression: `[torch.eye(2).to_sparse()]`, refused: "$[0] is of the type torch.Tensor and cannot be converted"},
	"a tensor without data":       {expression: `torch.zeros(2, device='meta')`, refused: "no data"},
}

func records(n int, record, separator string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(record, i))
	}
	return "[" + strings.Join(all, separator) + "]"
}

func TestValuesOfNumpyPandasAndTorchAreStored(t *testing.T) {
	t.Parallel()
	in, options := needLibraries(t)
	returnCases(t, in, "import numpy as np, pandas as pd, torch\n", libraryValues, options...)
}
