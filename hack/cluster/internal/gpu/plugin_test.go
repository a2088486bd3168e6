package gpu

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// kubelet takes registrations as the real one does.
type kubelet struct {
	api.UnimplementedRegistrationServer
	registered chan *api.RegisterRequest
}

func (k *kubelet) Register(_ context.Context, r *api.RegisterRequest) (*api.Empty, error) {
	k.registered <- r
	return &api.Empty{}, nil
}

// The name is short, since it's in the path of a socket, which has a limit. A
// kubelet that starts again removes its plugins' sockets.
func TestRegistersAgain(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{registered: make(chan *api.RegisterRequest, 1)}
	server := grpc.NewServer()
	api.RegisterRegistrationServer(server, k)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plugin := &Plugin{Resource: "nvidia.com/gpu", Devices: []string{"GPU-0"}, Dir: dir}
	go plugin.Run(ctx)

	for range 2 {
		select {
		case r := <-k.registered:
			if r.ResourceName != "nvidia.com/gpu" || r.Endpoint != plugin.socket() {
				t.Fatalf("registered %v", r)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it did not register")
		}
		if err := os.Remove(filepath.Join(dir, plugin.socket())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContainersSeeTheirOwnGPUs(t *testing.T) {
	response, err := (&Plugin{}).Allocate(context.Background(), &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{
		{DevicesIds: []string{"GPU-7", "GPU-0"}}, {DevicesIds: []string{"GPU-8::2"}}, {DevicesIds: []string{"GPU-8::2", "GPU-8::0"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, container := range response.ContainerResponses {
		got = append(got, container.Envs["NVIDIA_VISIBLE_DEVICES"])
	}
	if diff := cmp.Diff([]string{"GPU-0,GPU-7", "GPU-8", "GPU-8"}, got); diff != "" {
		t.Errorf("visible devices (-want +got):\n%s", diff)
	}
}
