package rest

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/parameters"
)

// Values in Python syntax, for the arguments and the result of a job.

// argumentsText returns an input as text.
func argumentsText(input parameters.Input) string { return pythonText(input, "") }

// pythonText returns an input as text. prefix precedes its strings: u for JSON strings that Python 2 reads.
func pythonText(input parameters.Input, prefix string) string {
	if input.JSON == nil {
		return strings.TrimSpace(input.Literal)
	}
	decoder := json.NewDecoder(bytes.NewReader(input.JSON))
	decoder.UseNumber()
	var b strings.Builder
	b.Grow(len(input.JSON) + len(input.JSON)/2)
	if _, err := decoder.Token(); err != nil || writeItems(&b, decoder, prefix, "(", ")", true) != nil {
		return string(input.JSON)
	}
	return b.String()
}

// writeItems writes the items of an array whose opening bracket was read.
func writeItems(b *strings.Builder, decoder *json.Decoder, prefix, open, closed string, input bool) error {
	b.WriteString(open)
	count := 0
	for ; decoder.More(); count++ {
		if count > 0 {
			b.WriteString(", ")
		}
		if err := writeValue(b, decoder, prefix); err != nil {
			return err
		}
	}
	if input && count == 1 {
		b.WriteByte(',')
	}
	b.WriteString(closed)
	_, err := decoder.Token()
	return err
}

func writeValue(b *strings.Builder, decoder *json.Decoder, prefix string) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case json.Number:
		b.WriteString(numberText(v.String()))
	case string:
		b.WriteString(prefix + quoteText(v))
	case json.Delim:
		if v == '[' {
			return writeItems(b, decoder, prefix, "[", "]", false)
		}
		return writePairs(b, decoder, prefix)
	}
	return nil
}

func writePairs(b *strings.Builder, decoder *json.Decoder, prefix string) error {
	b.WriteByte('{')
	for count := 0; decoder.More(); count++ {
		if count > 0 {
			b.WriteString(", ")
		}
		if err := writeValue(b, decoder, prefix); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := writeValue(b, decoder, prefix); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	_, err := decoder.Token()
	return err
}

// numberText returns repr() of a number that Python's json module has read: an integer of any size, or a float.
func numberText(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	value, err := strconv.ParseFloat(text, 64)
	if math.IsInf(value, 0) {
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(value, 'f', -1, 64), "+"))
	}
	if err != nil {
		return text
	}
	return floatText(value)
}

// floatText returns repr() of a float: the shortest digits, with an exponent below 1e-4 and from 1e16.
func floatText(value float64) string {
	if size := math.Abs(value); size != 0 && (size < 1e-4 || size >= 1e16) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(value, 'e', -1, 64), "e")
		return mantissa + "e" + exponent
	}
	var digits [32]byte
	text := strconv.AppendFloat(digits[:0], value, 'f', -1, 64)
	if bytes.IndexByte(text, '.') < 0 {
		text = append(text, ".0"...)
	}
	return string(text)
}

// quoteText returns repr() of a string.
func quoteText(text string) string {
	quote := '\''
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, c := range text {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == ' ' || unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			b.WriteString(`\x` + pad(c, 2))
		case c < 0x10000:
			b.WriteString(`\u` + pad(c, 4))
		default:
			b.WriteString(`\U` + pad(c, 8))
		}
	}
	b.WriteRune(quote)
	return b.String()
}

func pad(c rune, width int) string {
	digits := strconv.FormatInt(int64(c), 16)
	return strings.Repeat("0", width-len(digits)) + digits
}

// resultText returns the handler's result as its language's str() writes it. The runner sends that text if it cannot be derived from the
// JSON.
func resultText(result, text []byte) string {
	if text != nil {
		return string(text)
	}
	if len(result) == 0 {
		return ""
	}
	if result[0] == '"' {
		var value string
		if err := json.Unmarshal(result, &value); err == nil {
			return value
		}
	}
	return string(printable.Readable(result))
}
