package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// kind is one of the custom resources, with its noun in commands.
type kind struct{ kind, resource, noun string }

var (
	kindFunction = kind{"Function", "functions", "function"}
	kindRun      = kind{"FunctionRun", "functionruns", "run"}
	kindImage    = kind{"FunctionImage", "functionimages", "image"}
)

// kindNamed accepts the singular and the plural of the noun and of the resource.
func kindNamed(word string) (kind, error) {
	for _, k := range []kind{kindFunction, kindRun, kindImage} {
		if slices.Contains([]string{k.noun, k.noun + "s", k.resource, strings.ToLower(k.kind)}, strings.ToLower(word)) {
			return k, nil
		}
	}
	return kind{}, usageError("%q is not a kind; it must be functions, runs or images", word)
}

var objectFormats = []string{"wide", "name", "json", "yaml"}

// checkObjectFormat validates the -o of a command that prints objects.
func checkObjectFormat(format string) error {
	if format == "" || slices.Contains(objectFormats, format) {
		return nil
	}
	return usageError("-o is %q; it must be one of %s", format, strings.Join(objectFormats, ", "))
}

// objectPrinter prints objects for scripts. It is nil for an unknown format.
func objectPrinter(format string) printers.ResourcePrinter {
	switch format {
	case "name":
		return &printers.NamePrinter{}
	case "json":
		return &printers.JSONPrinter{}
	case "yaml":
		return &printers.YAMLPrinter{}
	}
	return nil
}

// printObject prints an object for scripts.
func (o *options) printObject(object runtime.Object, format string) error {
	printer := objectPrinter(format)
	if printer == nil {
		return usageError("-o is %q; it must be one of name, json, yaml", format)
	}
	if gvk := object.GetObjectKind().GroupVersionKind(); gvk.Kind == "" {
		found, err := apiutil.GVKForObject(object, newScheme())
		if err != nil {
			return err
		}
		object.GetObjectKind().SetGroupVersionKind(found)
	}
	text, err := printed(printer, object)
	if format == "yaml" && (err != nil || printable.Text(text) != text) {
		// Most strings of YAML have no escapes, and its encoder refuses some characters. JSON has escapes and is valid YAML.
		text, err = printed(&printers.JSONPrinter{}, object)
	}
	if err != nil {
		return err
	}
	_, err = o.streams.Out.Write(printable.JSON([]byte(text)))
	return err
}

func printed(printer printers.ResourcePrinter, object runtime.Object) (string, error) {
	var text bytes.Buffer
	err := (&printers.OmitManagedFieldsPrinter{Delegate: printer}).PrintObj(object, &text)
	return text.String(), err
}

func newList(o *options) *cobra.Command {
	var format, selector, function string
	var everywhere bool
	command := &cobra.Command{
		Use:     "list [functions | runs | images] [-A] [-o wide|name|json|yaml]",
		Aliases: []string{"ls"},
		Short:   "List functions, runs or images",
		Example: `  kubectl function list
  kubectl function list runs --function train
  kubectl function list runs -A -o wide`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("unexpected argument %q: %s", args[1], command.UseLine())
			}
			return nil
		},
		ValidArgs: []string{"functions", "runs", "images"},
		RunE: func(command *cobra.Command, args []string) error {
			k := kindFunction
			var err error
			if len(args) == 1 {
				if k, err = kindNamed(args[0]); err != nil {
					return err
				}
			}
			if err := checkObjectFormat(format); err != nil {
				return err
			}
			if function != "" && k != kindRun {
				return usageError("--function selects runs: use `kubectl function list runs --function %s`", function)
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			q := listQuery{kind: k, namespace: c.namespace, selector: selector, everywhere: everywhere, function: function}
			if everywhere {
				q.namespace = ""
			}
			return c.list(command.Context(), q, format)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&format, "output", "o", "", "Output format: wide, name, json or yaml.")
	flags.StringVarP(&selector, "selector", "l", "", "Label selector (key=value).")
	flags.StringVar(&function, "function", "", "List only runs of this function.")
	flags.BoolVarP(&everywhere, "all-namespaces", "A", false, "List the objects of all namespaces.")
	return command
}

func newGet(o *options) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "get (function | run | image) NAME [-o wide|name|json|yaml]",
		Short: "Show a function, run or image",
		Example: `  kubectl function get run train-x7k2p
  kubectl function get function train -o yaml`,
		Args:              exactly("kind (function, run or image)", "function, run or image"),
		ValidArgsFunction: o.completeKindAndName,
		RunE: func(command *cobra.Command, args []string) error {
			k, err := kindNamed(args[0])
			if err != nil {
				return err
			}
			if err := checkObjectFormat(format); err != nil {
				return err
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			return c.list(command.Context(), listQuery{kind: k, namespace: c.namespace, name: args[1]}, format)
		},
	}
	command.Flags().StringVarP(&format, "output", "o", "", "Output format: wide, name, json or yaml.")
	return command
}

// listQuery selects objects.
type listQuery struct {
	kind                      kind
	namespace, name, selector string
	function                  string
	everywhere                bool
}

// list prints objects as the server's table, or whole.
func (c *cluster) list(ctx context.Context, q listQuery, format string) error {
	if format == "json" || format == "yaml" || format == "name" {
		return c.listObjects(ctx, q, format)
	}
	table, err := c.tableOf(ctx, q)
	if err != nil {
		return err
	}
	if len(table.Rows) == 0 {
		where := "in the namespace " + q.namespace
		if q.everywhere {
			where = "in any namespace"
		}
		c.o.notify("There are no %ss %s.", q.kind.noun, where)
		return nil
	}
	writer := printers.GetNewTabWriter(c.o.streams.Out)
	printer := printers.NewTablePrinter(printers.PrintOptions{Wide: format == "wide", WithNamespace: q.everywhere})
	if err := printer.PrintObj(table, writer); err != nil {
		return err
	}
	return writer.Flush()
}

func (c *cluster) request(q listQuery) (*rest.Request, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	request := client.Get().NamespaceIfScoped(q.namespace, q.namespace != "").Resource(q.kind.resource)
	if q.name != "" {
		return request.Name(q.name), nil
	}
	if q.selector != "" {
		request.Param("labelSelector", q.selector)
	}
	if q.function != "" {
		request.Param("fieldSelector", "spec.functionRef.name="+q.function)
	}
	return request, nil
}

// tableOf requests the server's table, which has the columns of `kubectl get` and transfers neither code nor inputs. Runs are in
// the order of their creation.
func (c *cluster) tableOf(ctx context.Context, q listQuery) (*metav1.Table, error) {
	request, err := c.request(q)
	if err != nil {
		return nil, err
	}
	raw, err := request.SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Param("includeObject", "Metadata").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	table := &metav1.Table{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a million is not 1e+06
	if err := decoder.Decode(table); err != nil {
		return nil, clusterError("the response of the server is not a table: %w", err)
	}
	for i := range table.Rows {
		for j, cell := range table.Rows[i].Cells {
			if text, ok := cell.(string); ok {
				table.Rows[i].Cells[j] = oneLine(text)
			}
		}
		object := &metav1.PartialObjectMetadata{}
		if err := json.Unmarshal(table.Rows[i].Object.Raw, object); err == nil {
			table.Rows[i].Object.Object = object
		}
	}
	if q.kind == kindRun {
		slices.SortStableFunc(table.Rows, func(a, b metav1.TableRow) int { return createdOf(a).Compare(createdOf(b).Time) })
	}
	return table, nil
}

func createdOf(row metav1.TableRow) metav1.Time {
	if object, ok := row.Object.Object.(*metav1.PartialObjectMetadata); ok {
		return object.CreationTimestamp
	}
	return metav1.Time{}
}

// listObjects prints objects as the server has them, including fields that the plugin does not know.
func (c *cluster) listObjects(ctx context.Context, q listQuery, format string) error {
	gvk := v1alpha1.GroupVersion.WithKind(q.kind.kind)
	if q.name != "" {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk)
		if err := c.Get(ctx, client.ObjectKey{Namespace: q.namespace, Name: q.name}, object); err != nil {
			return err
		}
		return c.o.printObject(object, format)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(q.kind.kind + "List"))
	options := []client.ListOption{client.InNamespace(q.namespace)}
	if q.function != "" {
		options = append(options, client.MatchingFields{"spec.functionRef.name": q.function})
	}
	if q.selector != "" {
		options = append(options, &client.ListOptions{Raw: &metav1.ListOptions{LabelSelector: q.selector}})
	}
	if err := c.List(ctx, list, options...); err != nil {
		return err
	}
	if format == "name" {
		for i := range list.Items {
			if err := c.o.printObject(&list.Items[i], format); err != nil {
				return err
			}
		}
		return nil
	}
	list.SetAPIVersion("v1")
	list.SetKind("List")
	return c.o.printObject(list, format)
}

// printTable prints a server's table.
func printTable(out io.Writer, table *metav1.Table) error {
	writer := printers.GetNewTabWriter(out)
	if err := printers.NewTablePrinter(printers.PrintOptions{}).PrintObj(table, writer); err != nil {
		return err
	}
	return writer.Flush()
}

// columns prints aligned lines. Line breaks in a cell are escaped.
func columns(out io.Writer, rows [][]string) error {
	writer := printers.GetNewTabWriter(out)
	for _, row := range rows {
		row = slices.Clone(row)
		for i := range row {
			row[i] = oneLine(row[i])
		}
		if _, err := fmt.Fprintln(writer, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return writer.Flush()
}
