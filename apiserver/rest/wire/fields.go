package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/apiserver/uuids"
)

// The sentences that clients know.
const (
	SentenceRequired = "This field is required."
	SentenceBlank    = "This field may not be blank."
	SentenceNull     = "This field may not be null."
	SentenceNotText  = "Not a valid string."
	SentenceNUL      = "Null characters are not allowed."
	SentenceNumber   = "A valid number is required."
)

func SentenceTooLong(most int) string {
	return fmt.Sprintf("Ensure this field has no more than %d characters.", most)
}
func SentenceNotUUID(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid UUID.", Cut(text, 100))
}
func SentenceNoObject(id string) string {
	return fmt.Sprintf("Invalid pk \"%s\" - object does not exist.", Cut(id, 100))
}
func SentenceNoChoice(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid choice.", Cut(text, 100))
}

// Text is a field of text of at most so many characters. problem is what is wrong with it, "" where nothing is; given says
// whether the body has the field.
func (b Body) Text(name string, most int) (text string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, SentenceRequired
	}
	if text, problem = v.string(b.form); problem != "" {
		return "", true, problem
	}
	switch {
	case strings.ContainsRune(text, 0):
		problem = SentenceNUL
	case strings.TrimSpace(text) == "":
		problem = SentenceBlank
	case utf8.RuneCountInString(text) > most:
		problem = SentenceTooLong(most)
	}
	return text, true, problem
}

func (v Value) string(form bool) (text, problem string) {
	if form {
		return v.text, ""
	}
	switch kindOf(v.JSON) {
	case "NoneType":
		return "", SentenceNull
	case "str":
		if err := json.Unmarshal(v.JSON, &text); err != nil || loneSurrogate(v.JSON) {
			return "", SentenceNotText
		}
		return text, ""
	}
	return "", SentenceNotText
}

// loneSurrogate says whether JSON escapes half a character.
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

// UUID is a field that names an object.
func (b Body) UUID(name string) (id string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, SentenceRequired
	}
	if !b.form && kindOf(v.JSON) == "NoneType" {
		return "", true, SentenceNull
	}
	text := v.text
	if !b.form {
		if kindOf(v.JSON) != "str" {
			return "", true, SentenceNotUUID(string(v.JSON))
		}
		if err := json.Unmarshal(v.JSON, &text); err != nil {
			return "", true, SentenceNotText
		}
	}
	if text == "" {
		return "", true, SentenceNull // as the framework of 2018 reads an empty key
	}
	id, ok = uuids.Canonical(text)
	if !ok {
		return "", true, SentenceNotUUID(text)
	}
	return id, true, ""
}

var numeral = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// Number is a field with a number, in JSON also as text.
func (b Body) Number(name string) (number float64, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return 0, false, ""
	}
	text := v.text
	if !b.form {
		switch kindOf(v.JSON) {
		case "int", "float":
			text = string(v.JSON)
		case "str":
			if err := json.Unmarshal(v.JSON, &text); err != nil {
				return 0, true, SentenceNumber
			}
		case "NoneType":
			return 0, true, SentenceNull
		default:
			return 0, true, SentenceNumber
		}
	}
	text = strings.TrimSpace(text)
	if len(text) > 100 || !numeral.MatchString(text) {
		return 0, true, SentenceNumber
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) {
		return 0, true, SentenceNumber
	}
	return number, true, ""
}

// Cut shortens foreign text, between characters.
func Cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	for length > 0 && text[length]&0xc0 == 0x80 {
		length--
	}
	return text[:length] + "…"
}
