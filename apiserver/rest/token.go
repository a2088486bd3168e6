package rest

import (
	"errors"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
)

// login returns the password if it is a valid token of the cluster.
func login(c *call) error {
	read, _, err := c.readBody()
	if err != nil {
		return err
	}
	wrong := problems{}
	token := ""
	for _, name := range []string{"username", "password"} {
		text, _, problem := read.Text(name, maxPassword)
		if problem != "" {
			wrong.add(name, problem)
		}
		token = text
	}
	if len(wrong) > 0 {
		return wrong
	}
	_, err = c.api.Callers.Of(connections.WithSource(c.ctx(), connections.Source(c.r)), token)
	if errors.Is(err, identity.ErrInvalidToken) {
		return problems{"non_field_errors": {"Unable to log in with provided credentials."}}
	}
	if err != nil {
		return err
	}
	body, err := encodeJSON(map[string]string{"token": token})
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, body)
	return nil
}

// maxPassword bounds the length of a token.
const maxPassword = 32 << 10
