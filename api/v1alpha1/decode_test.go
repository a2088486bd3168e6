package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func scheme() *kruntime.Scheme {
	s := kruntime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// stored is an object as the API server returns it, with the invalid members.
func stored(kind, name, rest string) string {
	return fmt.Sprintf(`{"apiVersion":"sharedcloud.io/v1alpha1","kind":%q,"metadata":{"name":%q,"namespace":"team","uid":"u-%s","resourceVersion":"7","generation":3,"labels":{"a":"b"}}%s}`,
		kind, name, name, rest)
}

// poisons are members of stored objects that do not match their types, or that cannot be decoded in bounded time.
func poisons() map[string]string {
	quantity := func(text string) string {
		return `,"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"limits":{"memory":` + text + `}}}}`
	}
	divisor := func(text string) string {
		return `,"spec":{"runtime":"python311","image":"python","pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":` + text + `}}}]}}`
	}
	return map[string]string{
		"Function a spec that is a string":                        `,"spec":"x"`,
		"Function a status that is a list":                        `,"spec":{},"status":[]`,
		"Function a quantity with a fraction in its exponent":     quantity(`"1e1.5"`),
		"Function a quantity of 2147483646 zeros":                 quantity(`"1e2147483646"`),
		"Function a quantity of 2147483646 zeros after the point": quantity(`"1e-2147483646"`),
		"Function a quantity of many digits":                      quantity(`"` + strings.Repeat("9", 100_000) + `"`),
		"Function a number as a quantity":                         quantity(`1e2147483646`),
		"Function a quantity that is a list":                      quantity(`[1]`),
		"Function a divisor of 2147483646 zeros":                  divisor(`"1E-2147483646"`),
		"Function a number as a string":                           `,"spec":{"workers":"8"}`,
		"Function an integer beyond 32 bits":                      `,"spec":{"ttlSecondsAfterFinished":3000000000}`,
		"Function an integer beyond 64 bits":                      `,"spec":{"pod":{"runAsUser":9223372036854775808}}`,
		"Function a fraction as an integer":                       `,"spec":{"workers":1.5}`,
		"Function tolerationSeconds beyond 64 bits":               `,"spec":{"pod":{"tolerations":[{"tolerationSeconds":1e30}]}}`,
		"FunctionImage a flag that is a string":                   `,"spec":{"requiresGPU":"yes"}`,
		"FunctionImage a condition with a bad time":               `,"spec":{},"status":{"conditions":[{"type":"Ready","lastTransitionTime":"yesterday"}]}`,
		"FunctionRun an integer beyond 32 bits":                   `,"spec":{"ttlSecondsAfterFinished":3000000000}`,
		"FunctionRun a start that is no time":                     `,"spec":{},"status":{"startTime":"soon"}`,
		"FunctionRun an end in the year 10000":                    `,"spec":{},"status":{"completionTime":"9999-12-31T23:59:59-23:00"}`,
		"FunctionRun parameters that are an object":               `,"spec":{"parameters":{"a":1}}`,
		"FunctionRun parameters of 9,000 levels":                  `,"spec":{"parameters":[[` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `]]}`,
		"FunctionRun progress that is a string":                   `,"spec":{},"status":{"progress":"all of it"}`,
	}
}

// decoded decodes within a limit of time and memory.
func decoded(t *testing.T, data string, into any) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := json.Unmarshal([]byte(data), into); err != nil {
		t.Fatalf("decoding failed as a whole: %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("decoding took %s", took)
	}
	if spent, most := after.TotalAlloc-before.TotalAlloc, uint64(len(data))*64+1<<20; spent > most {
		t.Errorf("decoding %d bytes allocated %d, more than %d", len(data), spent, most)
	}
}

func TestAListWithAnUndecodableObjectDecodes(t *testing.T) {
	for name, poison := range poisons() {
		kind, _, _ := strings.Cut(name, " ")
		//security:attack tenant | stores an object that its type cannot hold (wrong types, quantities of any exponent, integers beyond 32 bits, bad times, deep JSON) | the list decodes, the object is its metadata and the error, its neighbours are whole
		t.Run(name, func(t *testing.T) {
			text := `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"` + kind + `List","metadata":{"resourceVersion":"9"},"items":[` +
				stored(kind, "before", `,"spec":{}`) + "," + stored(kind, "poisoned", poison) + "," + stored(kind, "after", `,"spec":{}`) + `]}`
			list, err := scheme().New(v1alpha1.GroupVersion.WithKind(kind + "List"))
			if err != nil {
				t.Fatal(err)
			}
			decoded(t, text, list)
			items := itemsOf(t, list)
			for i, want := range []string{"before", "poisoned", "after"} {
				if items[i].GetName() != want || items[i].GetUID() != "u-"+items[i].GetUID()[2:] || items[i].GetResourceVersion() != "7" || items[i].GetGeneration() != 3 || items[i].GetLabels()["a"] != "b" {
					t.Errorf("item %d has the metadata %v, want that of %s", i, items[i], want)
				}
				problem := v1alpha1.DecodeError(items[i])
				if (problem != "") != (want == "poisoned") {
					t.Errorf("%s: the error is %q", want, problem)
				}
				if len(problem) > 512 || strings.ContainsFunc(problem, unicode.IsControl) {
					t.Errorf("the error cannot be displayed safely: %q", problem)
				}
			}
		})
	}
}

func itemsOf(t *testing.T, list kruntime.Object) []metav1.Object {
	t.Helper()
	var items []metav1.Object
	switch list := list.(type) {
	case *v1alpha1.FunctionList:
		for i := range list.Items {
			items = append(items, &list.Items[i])
		}
	case *v1alpha1.FunctionImageList:
		for i := range list.Items {
			items = append(items, &list.Items[i])
		}
	case *v1alpha1.FunctionRunList:
		for i := range list.Items {
			items = append(items, &list.Items[i])
		}
	}
	if len(items) != 3 {
		t.Fatalf("the list has %d items, want 3", len(items))
	}
	return items
}

func TestEveryClientDecoderKeepsAnUndecodableObject(t *testing.T) {
	text := []byte(stored("Function", "poisoned", poisons()["Function a quantity of 2147483646 zeros"]))
	decoders := map[string]func() (kruntime.Object, error){
		"JSON of a typed client": func() (kruntime.Object, error) {
			return kruntime.Decode(serializer.NewCodecFactory(scheme()).WithoutConversion().DecoderToVersion(
				serializer.NewCodecFactory(scheme()).UniversalDeserializer(), v1alpha1.GroupVersion), text)
		},
		"the converter from unstructured": func() (kruntime.Object, error) {
			var content map[string]any
			if err := json.Unmarshal(text, &content); err != nil {
				return nil, err
			}
			function := &v1alpha1.Function{}
			return function, kruntime.DefaultUnstructuredConverter.FromUnstructured(content, function)
		},
		"CBOR": func() (kruntime.Object, error) {
			var content map[string]any
			if err := json.Unmarshal(text, &content); err != nil {
				return nil, err
			}
			codec := cbor.NewSerializer(scheme(), scheme())
			var encoded bytes.Buffer
			if err := codec.Encode(&kruntime.Unknown{}, &encoded); err == nil {
				encoded.Reset()
			}
			object, err := unstructuredOf(content)
			if err != nil {
				return nil, err
			}
			if err := codec.Encode(object, &encoded); err != nil {
				return nil, err
			}
			return kruntime.Decode(codec, encoded.Bytes())
		},
	}
	for name, decode := range decoders {
		//security:attack tenant | stores a Function with a memory limit of 1e2147483646, which each decoder of a client meets | it is its metadata and the error in each
		t.Run(name, func(t *testing.T) {
			object, err := decode()
			if err != nil {
				t.Fatal(err)
			}
			function, ok := object.(*v1alpha1.Function)
			if !ok || function.Name != "poisoned" || v1alpha1.DecodeError(function) == "" || function.Spec.Pod != nil {
				t.Errorf("got %#v", object)
			}
		})
	}
}

func TestAStoredDecodeErrorAnnotationIsIgnored(t *testing.T) {
	function := &v1alpha1.Function{}
	//security:attack tenant | annotates an object with the annotation that marks what cannot be decoded | it is taken off when the object is decoded
	decoded(t, `{"metadata":{"name":"f","annotations":{"cache.sharedcloud.io/decode-error":"mine","b":"c"}},"spec":{"runtime":"python311"}}`, function)
	if problem := v1alpha1.DecodeError(function); problem != "" || function.Annotations["b"] != "c" || function.Spec.Runtime != "python311" {
		t.Errorf("the object is %v with the error %q", function, problem)
	}
}

func TestInvalidMetadataIsDecodedFieldByField(t *testing.T) {
	run := &v1alpha1.FunctionRun{}
	//security:attack tenant | stores metadata that does not fit its type | what fits is kept: name, uid, labels that are strings
	decoded(t, `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","metadata":{"name":"r","namespace":"team","uid":"u","resourceVersion":"8",
		"generation":"many","creationTimestamp":"once","labels":{"a":"b","n":5},"annotations":[1],"ownerReferences":[{"uid":3}],"finalizers":["x"]},"spec":{"functionRef":{"name":"f"}}}`, run)
	if run.Name != "r" || run.Namespace != "team" || run.UID != "u" || run.ResourceVersion != "8" || run.Kind != "FunctionRun" ||
		len(run.Labels) != 1 || run.Labels["a"] != "b" || len(run.Finalizers) != 1 || run.OwnerReferences != nil || run.Generation != 0 {
		t.Errorf("kept %#v", run.ObjectMeta)
	}
	if v1alpha1.DecodeError(run) == "" || run.Spec.FunctionRef.Name != "" {
		t.Errorf("the object is treated as valid: %v", run)
	}
}

func TestACorrectedObjectDecodesCompletelyIntoTheSameVariable(t *testing.T) {
	run := &v1alpha1.FunctionRun{}
	decoded(t, stored("FunctionRun", "r", `,"spec":"x"`), run)
	decoded(t, stored("FunctionRun", "r", `,"spec":{"functionRef":{"name":"f"}}`), run)
	if v1alpha1.DecodeError(run) != "" || run.Spec.FunctionRef.Name != "f" {
		t.Errorf("got %v", run)
	}
	decoded(t, stored("FunctionRun", "r", `,"spec":"x"`), run)
	if v1alpha1.DecodeError(run) == "" || run.Spec.FunctionRef.Name != "" {
		t.Errorf("the previously decoded content was kept: %v", run)
	}
}

func TestTheErrorNamesTheField(t *testing.T) {
	function := &v1alpha1.Function{}
	decoded(t, stored("Function", "f", `,"spec":{"ttlSecondsAfterFinished":3000000000}`), function)
	if problem := v1alpha1.DecodeError(function); !strings.Contains(problem, "spec.ttlSecondsAfterFinished") || !strings.Contains(problem, "3000000000") {
		t.Errorf("the error is %q", problem)
	}
}

func FuzzDecode(f *testing.F) {
	for name, poison := range poisons() {
		kind, _, _ := strings.Cut(name, " ")
		if len(poison) < 10_000 {
			f.Add([]byte(stored(kind, "x", poison)))
		}
	}
	f.Add([]byte(`{"metadata":{"name":"x","labels":5}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, object := range []interface {
			metav1.Object
			kruntime.Object
		}{&v1alpha1.Function{}, &v1alpha1.FunctionImage{}, &v1alpha1.FunctionRun{}} {
			var items struct {
				Items []json.RawMessage `json:"items"`
			}
			whole := append(append([]byte(`{"items":[`), data...), `]}`...)
			if json.Unmarshal(whole, &items) != nil {
				return // no JSON
			}
			err := json.Unmarshal(data, object)
			if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && err != nil {
				t.Fatalf("an object was rejected: %v", err)
			}
			encoded, err := json.Marshal(object)
			if err != nil {
				t.Fatalf("what was decoded cannot be encoded: %v", err)
			}
			_ = object.DeepCopyObject()
			if len(encoded) > 16*len(data)+16<<10 {
				t.Fatalf("%d bytes became %d", len(data), len(encoded))
			}
		}
	})
}

func unstructuredOf(content map[string]any) (kruntime.Object, error) {
	return &unstructured.Unstructured{Object: content}, nil
}
