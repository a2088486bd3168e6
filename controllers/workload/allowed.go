package workload

import (
	"fmt"
	"slices"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// systemPriority is the prefix of Kubernetes' own priority classes. No list allows them.
const systemPriority = "system-"

// The cluster's own taints: of the control plane and other roles, and of nodes that are being drained. All functions may
// tolerate the taints of node conditions (not-ready, memory-pressure).
const (
	roleTaints         = "node-role.kubernetes.io/"
	unschedulableTaint = "node.kubernetes.io/unschedulable"
)

// Allowed are an administrator's allow-lists: what functions may use that affects more than their own namespace. The zero
// value allows nothing. An entry that ends with * matches every name with that prefix.
type Allowed struct {
	// PriorityClasses that workers may have; never one of Kubernetes' own.
	PriorityClasses []string
	// RuntimeClasses that workers may have.
	RuntimeClasses []string
	// Tolerations are keys of the cluster's own taints that workers may tolerate; * also allows tolerations without a key,
	// which match every taint.
	Tolerations []string
	// Root lets workers run as the user 0.
	Root bool
}

func (a Allowed) validate() error {
	for _, class := range a.PriorityClasses {
		if strings.HasPrefix(class, systemPriority) {
			return fmt.Errorf("--allowed-priority-classes names %q: priority classes that begin with %s are for the cluster's own pods", class, systemPriority)
		}
	}
	return nil
}

// listed reports whether a list has the name, or an entry that ends with * and matches it.
func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		prefix, isPrefix := strings.CutSuffix(entry, "*")
		return entry == name || isPrefix && strings.HasPrefix(name, prefix)
	})
}

// Check returns what is not allowed of the settings of a pod and its priority class, or nil.
func (a Allowed) Check(pod *v1alpha1.PodSettings, priorityClass string) *Problem {
	refuse := func(format string, args ...any) *Problem {
		return &Problem{Reason: v1alpha1.ReasonNotAllowed, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case strings.HasPrefix(priorityClass, systemPriority):
		return refuse("spec.priorityClassName is %q: priority classes that begin with %s are for the cluster's own pods. Choose another one.", priorityClass, systemPriority)
	case priorityClass != "" && !listed(a.PriorityClasses, priorityClass):
		return refuse("spec.priorityClassName is %q, which the administrator does not allow: leave it out, or ask for it to be added to --allowed-priority-classes of the manager.", priorityClass)
	case pod == nil:
		return nil
	case pod.RuntimeClassName != nil && !listed(a.RuntimeClasses, *pod.RuntimeClassName):
		return refuse("spec.pod.runtimeClassName is %q, which the administrator does not allow: leave it out, or ask for it to be added to --allowed-runtime-classes of the manager.", *pod.RuntimeClassName)
	case pod.RunAsUser != nil && *pod.RunAsUser == 0 && !a.Root:
		return refuse("spec.pod.runAsUser is 0, root, which the administrator does not allow: leave it out, or ask for --allow-root of the manager.")
	}
	for i := range pod.Tolerations {
		key := pod.Tolerations[i].Key
		switch {
		case key == "" && !slices.Contains(a.Tolerations, "*"):
			return refuse("spec.pod.tolerations[%d] has no key and so tolerates every taint, which the administrator does not allow: name the key of the taint, or ask for * to be added to --allowed-tolerations of the manager.", i)
		case restrictedTaint(key) && !listed(a.Tolerations, key):
			return refuse("spec.pod.tolerations[%d] tolerates the taint %s, which the administrator does not allow: leave it out, or ask for the key to be added to --allowed-tolerations of the manager.", i, key)
		}
	}
	return nil
}

func restrictedTaint(key string) bool {
	return strings.HasPrefix(key, roleTaints) || key == unschedulableTaint
}
