package cli

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func (c *cluster) describeFunction(ctx context.Context, name string) error {
	function, err := c.function(ctx, name)
	if err != nil {
		return err
	}
	ns := c.namespaceFlag()
	p := &page{out: c.o.streams.Out}
	p.line("Function", "%s in the namespace %s, created %s", function.Name, function.Namespace, ago(function.CreationTimestamp.Time))
	if function.Spec.Name != "" {
		p.line("Name", "%s", function.Spec.Name)
	}
	status := "not ready"
	if meta.IsStatusConditionTrue(function.Status.Conditions, v1alpha1.ConditionReady) {
		status = "ready"
	}
	p.line("Status", "%s", status)
	found := adviceForFunction(function, ns)
	p.line("What is wrong", "%s", found.wrong)
	p.line("What to do", "%s", found.todo)
	p.line("Code", "%s, %s", function.Spec.Runtime, codeLine(function))
	image := function.Spec.Image
	if function.Status.Revision != nil {
		image += " (" + function.Status.Revision.RegistryPath + ")"
	}
	p.line("Image", "%s", image)
	if function.Status.Revision != nil {
		p.line("Revision", "%s", function.Status.Revision.Name)
	}
	if owner := gitOpsOwner(function); owner != "" {
		p.line("Managed by", "%s: change the function in its repository", owner)
	}
	if err := p.flush(); err != nil {
		return err
	}
	table, err := c.tableOf(ctx, listQuery{kind: kindRun, namespace: c.namespace, function: name})
	if err == nil && len(table.Rows) > 0 {
		c.o.out("\nRuns (the latest %d of %d):\n", min(maxRuns, len(table.Rows)), len(table.Rows))
		table.Rows = table.Rows[max(0, len(table.Rows)-maxRuns):]
		if err := printTable(c.o.streams.Out, table); err != nil {
			return err
		}
	} else if err == nil && found == (advice{}) {
		c.o.out("\nThe function has no runs yet: kubectl function run %s --params \"((1,),)\" --follow%s\n", name, ns)
	}
	c.describeEvents(ctx, function.Namespace, []string{string(function.UID)})
	return nil
}

func codeLine(function *v1alpha1.Function) string {
	switch {
	case function.Spec.Code != nil:
		return count(strings.Count(strings.TrimRight(*function.Spec.Code, "\n"), "\n")+1, "line")
	case function.Spec.CodeFrom != nil:
		return "in the ConfigMap " + configMapOf(specOf(function))
	}
	return "none"
}

// specOf is the spec of a function as an unstructured object.
func specOf(function *v1alpha1.Function) map[string]any {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(function)
	if err != nil {
		return nil
	}
	spec, _ := object["spec"].(map[string]any)
	return spec
}
