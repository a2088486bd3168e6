package rest

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/apiserver/core"
)

// The sentences that clients know.
const (
	sentenceRequired = "This field is required."
	sentenceBlank    = "This field may not be blank."
	sentenceNull     = "This field may not be null."
	sentenceNotText  = "Not a valid string."
	sentenceNUL      = "Null characters are not allowed."
	sentenceNumber   = "A valid number is required."
)

func sentenceTooLong(most int) string {
	return fmt.Sprintf("Ensure this field has no more than %d characters.", most)
}
func sentenceNotUUID(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid UUID.", cut(text, 100))
}
func sentenceNoObject(id string) string {
	return fmt.Sprintf("Invalid pk \"%s\" - object does not exist.", cut(id, 100))
}
func sentenceNoChoice(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid choice.", cut(text, 100))
}

// text is a field of text of at most so many characters. problem is what is wrong with it, "" where nothing is; given says
// whether the body has the field.
func (b body) text(name string, most int) (text string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, sentenceRequired
	}
	if text, problem = v.string(b.form); problem != "" {
		return "", true, problem
	}
	switch {
	case strings.ContainsRune(text, 0):
		problem = sentenceNUL
	case strings.TrimSpace(text) == "":
		problem = sentenceBlank
	case utf8.RuneCountInString(text) > most:
		problem = sentenceTooLong(most)
	}
	return text, true, problem
}

func (v value) string(form bool) (text, problem string) {
	if form {
		return v.text, ""
	}
	switch kindOf(v.json) {
	case "NoneType":
		return "", sentenceNull
	case "str":
		if err := json.Unmarshal(v.json, &text); err != nil || loneSurrogate(v.json) {
			return "", sentenceNotText
		}
		return text, ""
	}
	return "", sentenceNotText
}

// loneSurrogate says whether JSON escapes half a character, which no text can hold.
func loneSurrogate(raw []byte) bool {
	for i := 0; i+5 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++
			continue
		}
		switch unit := hex4(raw[i+2:]); {
		case unit >= 0xdc00 && unit < 0xe000:
			return true
		case unit >= 0xd800 && unit < 0xdc00:
			if i+11 >= len(raw) || raw[i+6] != '\\' || raw[i+7] != 'u' {
				return true
			}
			if low := hex4(raw[i+8:]); low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

func hex4(raw []byte) uint64 {
	unit, err := strconv.ParseUint(string(raw[:4]), 16, 32)
	if err != nil {
		return 0
	}
	return unit
}

// uuid is a field that names an object.
func (b body) uuid(name string) (id string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, sentenceRequired
	}
	if !b.form && kindOf(v.json) == "NoneType" {
		return "", true, sentenceNull
	}
	text := v.text
	if !b.form {
		if kindOf(v.json) != "str" {
			return "", true, sentenceNotUUID(string(v.json))
		}
		if err := json.Unmarshal(v.json, &text); err != nil {
			return "", true, sentenceNotText
		}
	}
	if text == "" {
		return "", true, sentenceNull // as the framework of 2018 reads an empty key
	}
	id, ok = core.CanonicalUUID(text)
	if !ok {
		return "", true, sentenceNotUUID(text)
	}
	return id, true, ""
}

var numeral = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// number is a field with a number, in JSON also as text.
func (b body) number(name string) (number float64, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return 0, false, ""
	}
	text := v.text
	if !b.form {
		switch kindOf(v.json) {
		case "int", "float":
			text = string(v.json)
		case "str":
			if err := json.Unmarshal(v.json, &text); err != nil {
				return 0, true, sentenceNumber
			}
		case "NoneType":
			return 0, true, sentenceNull
		default:
			return 0, true, sentenceNumber
		}
	}
	text = strings.TrimSpace(text)
	if len(text) > 100 || !numeral.MatchString(text) {
		return 0, true, sentenceNumber
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) {
		return 0, true, sentenceNumber
	}
	return number, true, ""
}

// The function contract: a module that defines handler(event).
var (
	pythonHandler = regexp.MustCompile(`(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+handler[ \t]*\([ \t\r\n]*event[ \t\r\n]*[,:=)]`)
	nodeHandler   = regexp.MustCompile(`(?m)(?:^|[^\w$.])(?:async\s+)?function\s+handler\s*\(\s*event\s*[,=)]`)
)

// signatureProblem says what is wrong with code of that language, or "".
func signatureProblem(language, code string) string {
	switch language {
	case "python":
		if !pythonHandler.MatchString(code) {
			return "The code needs to have the following signature: def handler(event):"
		}
	case "node":
		if !nodeHandler.MatchString(code) {
			return "The code needs to have the following signature: function handler(event) { ... }"
		}
	}
	return ""
}
