package rest

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/writes"
	"sharedcloud.io/function-operator/runtimes"
)

const (
	resourceFunctions = "functions"
	maxName           = 256
	maxCode           = 921600
)

// appendFunction appends a function.
func (c *call) appendFunction(b []byte, f *v1alpha1.Function, code string) []byte {
	imageID, registryPath := "", ""
	if image, ok := c.api.Catalogue.Named(f.Namespace, f.Spec.Image); ok {
		imageID, registryPath = c.api.Catalogue.UUID(f.Namespace, image), image.Spec.RegistryPath
	} else if f.Status.Revision != nil {
		registryPath = f.Status.Revision.RegistryPath
	}
	o := newObject(b)
	o.text("uuid", c.api.Cluster.Functions.UUID(f))
	o.date("current_server_time", c.now.UnixMicro())
	o.text("registry_path", registryPath)
	o.text("runtime", f.Spec.Runtime)
	o.number("num_runs", c.api.Cluster.CountRunsOf(f))
	o.date("updated_at", core.UpdatedMicros(f))
	o.date("created_at", core.CreatedMicros(f))
	o.text("name", core.FunctionName(f))
	o.text("code", code)
	o.textOrNull("image", imageID)
	return o.end()
}

// etag changes with every field that a caller can change, and with code in a ConfigMap.
func etag(f *v1alpha1.Function) string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(f.UID))
	if f.Spec.CodeFrom != nil && f.Status.Revision != nil {
		_, _ = hash.Write([]byte(f.Status.Revision.Name))
	}
	return `"` + strconv.FormatInt(f.Generation, 10) + "-" + strconv.FormatUint(hash.Sum64(), 36) + `"`
}

func (c *call) answerFunction(status int, f *v1alpha1.Function) error {
	code, err := c.api.Code.Of(c.ctx(), f)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", etag(f))
	c.answer(status, c.appendFunction(make([]byte, 0, len(code)+len(code)/8+640), f, code))
	return nil
}

func listFunctions(c *call) error {
	if err := c.require("list", resourceFunctions, ""); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	functions := slice(page, c.api.Cluster.Functions.List(c.namespace))
	out := c.newStream(http.StatusOK)
	for _, f := range functions {
		code, err := c.api.Code.Of(c.ctx(), f)
		if err != nil {
			return err
		}
		if !out.item(func(b []byte) []byte { return c.appendFunction(b, f, code) }) {
			return nil
		}
	}
	out.end()
	return nil
}

// function returns the function of the path, if the caller may get it.
func (c *call) function() (*v1alpha1.Function, error) {
	f, ok := c.api.Cluster.Functions.Get(c.namespace, c.id)
	if !ok {
		return nil, c.unknown()
	}
	allowed, err := c.may("get", resourceFunctions, f.Name)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, notFound()
	}
	return f, nil
}

func getFunction(c *call) error {
	f, err := c.function()
	if err != nil {
		return err
	}
	return c.answerFunction(http.StatusOK, f)
}

// functionBody reads a body into the fields of a function. present are its current fields, nil for a new function; all requires every
// field.
func (c *call) functionBody(b wire.Body, present *writes.FunctionFields, all bool) (writes.FunctionFields, error) {
	wrong := problems{}
	var fields writes.FunctionFields
	if present != nil {
		fields = *present
	}
	text := func(name string, maxLength int, required bool, into *string) (given bool) {
		value, given, problem := b.Text(name, maxLength)
		switch {
		case !given && !required:
		case problem != "":
			wrong.add(name, problem)
		default:
			*into = value
		}
		return given
	}
	text("name", maxName, all, &fields.Name)
	text("code", maxCode, all, &fields.Code)
	before := fields.Image
	image, err := c.imageOf(b, all, &fields, wrong)
	if err != nil {
		return fields, err
	}
	// The client of 2018 never sends the runtime: it defaults to the image's, also when the image changes.
	follows := all && c.slash || !all && fields.Image != before
	if !text("runtime", 32, all && !c.slash, &fields.Runtime) && follows && image != nil {
		fields.Runtime = image.Spec.Runtime
	}
	if len(wrong["runtime"]) == 0 && len(wrong["image"]) == 0 {
		checkRuntime(fields, image, wrong)
	}
	if len(wrong) == 0 {
		language, _ := runtimes.Language(fields.Runtime)
		if problem := signatureProblem(language, fields.Code); problem != "" {
			wrong.add("code", problem)
		}
	}
	return fields, wrong.orNil()
}

// imageOf reads the field image, and returns the image after the change, or nil if there is none. The error is a failed check of the caller's
// rights on images.
func (c *call) imageOf(b wire.Body, required bool, fields *writes.FunctionFields, wrong problems) (*v1alpha1.FunctionImage, error) {
	id, given, problem := b.UUID("image")
	if !given && !required {
		image, found := c.api.Catalogue.Named(c.namespace, fields.Image)
		if !found || v1alpha1.DecodeError(image) != "" {
			return nil, nil
		}
		return image, nil
	}
	if problem != "" {
		wrong.add("image", problem)
		return nil, nil
	}
	own, err := c.ownImages()
	if err != nil {
		return nil, err
	}
	image, shadowed, found := c.api.Catalogue.Get(c.namespace, id, own)
	switch {
	case !found:
		wrong.add("image", wire.MessageNoObject(id))
		return nil, nil
	case v1alpha1.DecodeError(image) != "":
		wrong.add("image", capitalize(core.Decodable(image).Error())+".")
		return nil, nil
	case shadowed != nil:
		wrong.add("image", fmt.Sprintf("This image is hidden by the image of the same name in your namespace, %s.", c.api.Catalogue.UUID(c.namespace, shadowed)))
		return nil, nil
	}
	fields.Image = image.Name
	return image, nil
}

// checkRuntime checks that the runtime is known and of the image's language.
func checkRuntime(fields writes.FunctionFields, image *v1alpha1.FunctionImage, wrong problems) {
	language, known := runtimes.Language(fields.Runtime)
	if !known {
		wrong.add("runtime", wire.MessageNoChoice(fields.Runtime))
		return
	}
	if image == nil {
		return
	}
	if provided, known := runtimes.Language(image.Spec.Runtime); known && provided != language {
		wrong.add("runtime", wire.MessageNoChoice(fields.Runtime)+fmt.Sprintf(" The image runs %s.", image.Spec.Runtime))
	}
}

func createFunction(c *call) error {
	if err := c.require("create", resourceFunctions, ""); err != nil {
		return err
	}
	read, data, err := c.readBody()
	if err != nil {
		return err
	}
	fields, err := c.functionBody(read, nil, true)
	if err != nil {
		return err
	}
	by, err := c.requester(data)
	if err != nil {
		return err
	}
	f, repeated, err := c.api.Writer.CreateFunction(c.ctx(), c.namespace, fields, by)
	if err != nil {
		return err
	}
	klog.FromContext(c.ctx()).Info("Created a Function for a caller", "function", klog.KObj(f), "caller", by.User, "repeated", repeated)
	return c.answerFunction(c.created(), f)
}

func replaceFunction(c *call) error { return c.changeFunction("update", true) }
func patchFunction(c *call) error   { return c.changeFunction("patch", false) }

func (c *call) changeFunction(verb string, all bool) error {
	f, err := c.function()
	if err != nil {
		return err
	}
	if err := c.require(verb, resourceFunctions, f.Name); err != nil {
		return err
	}
	read, _, err := c.readBody()
	if err != nil {
		return err
	}
	changed, err := c.api.Writer.ChangeFunction(c.ctx(), f, writes.Requester{User: c.caller.GetName()},
		func(current *v1alpha1.Function, present writes.FunctionFields) (writes.FunctionFields, error) {
			if err := c.matches(current); err != nil {
				return present, err
			}
			return c.functionBody(read, &present, all)
		})
	if err != nil {
		return err
	}
	klog.FromContext(c.ctx()).Info("Changed a Function for a caller", "function", klog.KObj(f), "caller", c.caller.GetName())
	return c.answerFunction(http.StatusOK, changed)
}

// matches returns errPrecondition unless If-Match is missing or contains the function's ETag.
func (c *call) matches(f *v1alpha1.Function) error {
	headers := c.r.Header.Values("If-Match")
	if len(headers) == 0 {
		return nil
	}
	for _, header := range headers {
		for tag := range strings.SplitSeq(header, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(f) {
				return nil
			}
		}
	}
	return errPrecondition
}

func deleteFunction(c *call) error {
	f, err := c.function()
	if err != nil {
		return err
	}
	if err := c.require("delete", resourceFunctions, f.Name); err != nil {
		return err
	}
	if err := c.matches(f); err != nil {
		return err
	}
	runs := c.api.Cluster.RunsOf(f)
	if len(runs) > 0 {
		if err := c.require("delete", resourceRuns, ""); err != nil {
			return err
		}
	}
	for _, run := range runs {
		if err := c.notInProgress(run, "function"); err != nil {
			return err
		}
	}
	if err := c.api.Writer.DeleteFunction(c.ctx(), f); err != nil {
		return err
	}
	klog.FromContext(c.ctx()).Info("Deleted a Function for a caller", "function", klog.KObj(f), "caller", c.caller.GetName())
	return c.deleted()
}

// created returns the status of a successful POST in the dialect of the call.
func (c *call) created() int {
	if c.slash {
		return http.StatusCreated
	}
	return http.StatusOK
}

// deleted answers a DELETE in the dialect of the call.
func (c *call) deleted() error {
	if c.slash {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	c.answer(http.StatusOK, []byte("{}"))
	return nil
}
