package checks

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write testdata/rights.yaml anew")

// accounts are the service accounts of the two programs.
var accounts = []string{"sharedcloud-controller-manager", "sharedcloud-apiserver"}

// grant is what one binding gives to an account.
type grant struct {
	// Where is the namespace; empty for the whole cluster.
	Where string `json:"where,omitempty"`
	Role  string `json:"role"`
	// Rules of a role that every cluster has are not repeated.
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// rendered are the roles and bindings of config/default.
type rendered struct {
	roles    map[string][]rbacv1.PolicyRule
	bindings []binding
}

// binding is a RoleBinding or a ClusterRoleBinding.
type binding struct {
	Metadata struct {
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	RoleRef  rbacv1.RoleRef   `json:"roleRef"`
	Subjects []rbacv1.Subject `json:"subjects"`
}

func render(t *testing.T) rendered {
	t.Helper()
	found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(topFolder(t), "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	all := rendered{roles: map[string][]rbacv1.PolicyRule{}}
	for _, object := range found.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		switch object.GetKind() {
		case "ClusterRole", "Role":
			var role rbacv1.ClusterRole
			if err := yaml.UnmarshalStrict(text, &role); err != nil {
				t.Fatal(err)
			}
			if role.AggregationRule != nil {
				t.Errorf("the role %s has rules of others", role.Name)
			}
			all.roles[object.GetKind()+"/"+role.Namespace+"/"+role.Name] = role.Rules
		case "ClusterRoleBinding", "RoleBinding":
			var b binding
			if err := yaml.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			all.bindings = append(all.bindings, b)
		}
	}
	return all
}

// grantsOf is what an account may do.
func (r rendered) grantsOf(account string) []grant {
	var all []grant
	for _, b := range r.bindings {
		if !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Kind == rbacv1.ServiceAccountKind && s.Name == account }) {
			continue
		}
		namespace := ""
		if b.RoleRef.Kind == "Role" {
			namespace = b.Metadata.Namespace
		}
		all = append(all, grant{Where: b.Metadata.Namespace, Role: b.RoleRef.Name, Rules: r.roles[b.RoleRef.Kind+"/"+namespace+"/"+b.RoleRef.Name]})
	}
	slices.SortFunc(all, func(a, b grant) int { return strings.Compare(a.Where+"/"+a.Role, b.Where+"/"+b.Role) })
	return all
}

// A change of the rights shows in this file: go test ./hack/checks -run TestRights -update
func TestRightsAreThoseThatWereReviewed(t *testing.T) {
	all, got := render(t), map[string][]grant{}
	for _, account := range accounts {
		if got[account] = all.grantsOf(account); len(got[account]) == 0 {
			t.Fatalf("nothing is bound to %s", account)
		}
	}
	text, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "rights.yaml")
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(want) {
		t.Errorf("the rights differ from %s. Where that is meant: explain each in SECURITY.md, then run this test with -update. They are:\n%s", golden, text)
	}
}

// The roles that come with Kubernetes and that an account may have.
var foreignRoles = []string{"system:auth-delegator", "extension-apiserver-authentication-reader"}

//security:attack administrator | one of the two programs is taken over: what its account may do beyond its work | no wildcard, no Secret but two by name, no impersonation, no change of rights, no pods made or entered
func TestRightsHaveNoneOfTheDangerousOnes(t *testing.T) {
	all := render(t)
	for _, account := range accounts {
		for _, g := range all.grantsOf(account) {
			if g.Rules == nil && !slices.Contains(foreignRoles, g.Role) {
				t.Errorf("%s has the role %s, which is not in config/default", account, g.Role)
			}
			for _, rule := range g.Rules {
				for _, problem := range dangers(account, g.Where, rule) {
					t.Errorf("%s, in %q: %s: %+v", account, g.Where, problem, rule)
				}
			}
		}
	}
}

// dangers says what no rule of a program may give.
func dangers(account, where string, rule rbacv1.PolicyRule) []string {
	var found []string
	add := func(is bool, format string, args ...any) {
		if is {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	has := func(list []string, any ...string) bool {
		return slices.ContainsFunc(any, func(one string) bool { return slices.Contains(list, one) })
	}
	add(has(rule.Verbs, "*") || has(rule.APIGroups, "*") || has(rule.Resources, "*") || has(rule.NonResourceURLs, "*"), "a wildcard")
	add(has(rule.Verbs, "impersonate", "bind", "escalate", "approve", "sign", "deletecollection"), "a verb that takes the place of others")
	rules := has(rule.APIGroups, "rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "certificates.k8s.io")
	add(rules && (len(rule.ResourceNames) == 0 || !slices.Equal(rule.Verbs, []string{"get"})), "more of the cluster's own rules than a look at named ones")
	add(has(rule.Resources, "serviceaccounts/token", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers",
		"nodes/proxy", "services/proxy", "users", "groups") || has(rule.Resources, "serviceaccounts") && !slices.Equal(rule.Verbs, []string{"get"}), "a way into pods, nodes or accounts")
	secrets := has(rule.Resources, "secrets")
	add(secrets && where == "", "Secrets of the whole cluster")
	add(secrets && len(rule.ResourceNames) == 0 && !slices.Equal(rule.Verbs, []string{"create"}), "Secrets without names")
	writes := has(rule.Verbs, "create", "update", "patch", "delete")
	add(writes && has(rule.Resources, "pods", "nodes", "namespaces", "deployments", "daemonsets"), "writing pods, nodes, namespaces or workloads")
	if account == "sharedcloud-apiserver" {
		add(has(rule.Resources, "jobs"), "Jobs, which are the manager's")
		add(secrets, "Secrets, which are mounted")
		add(writes && has(rule.Resources, "configmaps"), "writing ConfigMaps")
	}
	return found
}

func TestDangersAreFound(t *testing.T) {
	for name, rule := range map[string]rbacv1.PolicyRule{
		"a wildcard of verbs":  {APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}},
		"impersonation":        {APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		"Secrets without name": {APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}},
		"making pods":          {APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}},
		"entering pods":        {APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get"}},
		"binding roles":        {APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}},
	} {
		if len(dangers("sharedcloud-controller-manager", "sharedcloud-system", rule)) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	if len(dangers("sharedcloud-apiserver", "", rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}})) == 0 {
		t.Error("Jobs of the API server are not found")
	}
}
