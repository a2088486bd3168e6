package poison

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Etcd is the etcd of a control plane.
type Etcd struct{ client *clientv3.Client }

// OpenEtcd connects to the etcd of a control plane. The connection is closed when the spec ends.
func OpenEtcd(environment *envtest.Environment) *Etcd {
	GinkgoHelper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{environment.ControlPlane.Etcd.URL.String()}, DialTimeout: 30 * time.Second})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	return &Etcd{client}
}

func key(o Object, namespace string) string {
	return "/registry/" + v1alpha1.GroupName + "/" + o.Resource() + "/" + namespace + "/" + o.Name
}

// Put stores an object until the spec ends, and returns its size in bytes.
func (e *Etcd) Put(ctx context.Context, namespace string, o Object) int {
	GinkgoHelper()
	text := o.stored(namespace, string(uuid.NewUUID()))
	_, err := e.client.Put(ctx, key(o, namespace), text)
	Expect(err).NotTo(HaveOccurred(), "%s %s", o.Kind, o.Name)
	named := Object{Kind: o.Kind, Name: o.Name} // the cleanup must not keep the whole object: specs measure memory
	DeferCleanup(func(ctx context.Context) { e.Delete(ctx, namespace, named) })
	return len(text)
}

// PutAll stores objects, and returns their total size in bytes. It reduces the list to their kinds and names.
func (e *Etcd) PutAll(ctx context.Context, namespace string, objects []Object) (stored int) {
	GinkgoHelper()
	for i, o := range objects {
		stored += e.Put(ctx, namespace, o)
		objects[i] = Object{Kind: o.Kind, Name: o.Name, Decodes: o.Decodes}
	}
	return stored
}

// Delete removes an object, if it exists.
func (e *Etcd) Delete(ctx context.Context, namespace string, o Object) {
	GinkgoHelper()
	_, err := e.client.Delete(ctx, key(o, namespace))
	Expect(err).NotTo(HaveOccurred(), "%s %s", o.Kind, o.Name)
}
