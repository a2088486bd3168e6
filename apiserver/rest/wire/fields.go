package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/uuids"
)

// Messages of the contract, on which clients rely.
const (
	MessageRequired = "This field is required."
	MessageBlank    = "This field may not be blank."
	MessageNull     = "This field may not be null."
	MessageNotText  = "Not a valid string."
	MessageNUL      = "Null characters are not allowed."
	MessageNumber   = "A valid number is required."
)

func MessageTooLong(maxLength int) string {
	return fmt.Sprintf("Ensure this field has no more than %d characters.", maxLength)
}
func MessageNotUUID(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid UUID.", printable.Cut(text, 100))
}
func MessageNoObject(id string) string {
	return fmt.Sprintf("Invalid pk \"%s\" - object does not exist.", printable.Cut(id, 100))
}
func MessageNoChoice(text string) string {
	return fmt.Sprintf("\"%s\" is not a valid choice.", printable.Cut(text, 100))
}

// Text returns a text field of at most maxLength characters. given reports whether the body has the field; problem is the error message, ""
// for none.
func (b Body) Text(name string, maxLength int) (text string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, MessageRequired
	}
	if text, problem = v.string(b.form); problem != "" {
		return "", true, problem
	}
	switch {
	case strings.ContainsRune(text, 0):
		problem = MessageNUL
	case strings.TrimSpace(text) == "":
		problem = MessageBlank
	case utf8.RuneCountInString(text) > maxLength:
		problem = MessageTooLong(maxLength)
	}
	return text, true, problem
}

func (v Value) string(form bool) (text, problem string) {
	if form {
		return v.text, ""
	}
	switch kindOf(v.JSON) {
	case "NoneType":
		return "", MessageNull
	case "str":
		if err := json.Unmarshal(v.JSON, &text); err != nil || loneSurrogate(v.JSON) {
			return "", MessageNotText
		}
		return text, ""
	}
	return "", MessageNotText
}

// loneSurrogate reports whether JSON escapes half of a surrogate pair.
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

// UUID returns a field with the uuid of an object.
func (b Body) UUID(name string) (id string, given bool, problem string) {
	v, ok := b.fields[name]
	if !ok {
		return "", false, MessageRequired
	}
	if !b.form && kindOf(v.JSON) == "NoneType" {
		return "", true, MessageNull
	}
	text := v.text
	if !b.form {
		if kindOf(v.JSON) != "str" {
			return "", true, MessageNotUUID(string(v.JSON))
		}
		if err := json.Unmarshal(v.JSON, &text); err != nil {
			return "", true, MessageNotText
		}
	}
	if text == "" {
		return "", true, MessageNull // the framework of 2018 treats an empty key as null
	}
	id, ok = uuids.Canonical(text)
	if !ok {
		return "", true, MessageNotUUID(text)
	}
	return id, true, ""
}

var numeral = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// Number returns a numeric field. In JSON it may also be a string.
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
				return 0, true, MessageNumber
			}
		case "NoneType":
			return 0, true, MessageNull
		default:
			return 0, true, MessageNumber
		}
	}
	text = strings.TrimSpace(text)
	if len(text) > 100 || !numeral.MatchString(text) {
		return 0, true, MessageNumber
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) {
		return 0, true, MessageNumber
	}
	return number, true, ""
}
