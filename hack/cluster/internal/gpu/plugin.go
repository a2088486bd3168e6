// Package gpu is a device plugin for GPUs that don't exist: it advertises them
// to the kubelet and gives each container that asks for some the environment
// that NVIDIA's plugin would give it, so that programs see which ones are
// theirs: whole ones, parts of one (MIG) and one that several share in turns
// (time-slicing). No device file appears.
package gpu

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Plugin advertises Devices as Resource.
type Plugin struct {
	api.UnimplementedDevicePluginServer

	Resource string
	Devices  []string // a replica of a device that is shared is named DEVICE::NUMBER
	Dir      string   // where the kubelet looks for plugins
}

// socket is where the plugin listens; the kubelet knows it by its name.
func (p *Plugin) socket() string {
	return "simulated-" + strings.ReplaceAll(p.Resource, "/", "-") + ".sock"
}

// Run serves until ctx ends. A kubelet that starts again removes the sockets of
// all plugins, which is how a plugin learns that it has to register anew.
func (p *Plugin) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.serveOnce(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// serveOnce registers with the kubelet and serves until the socket is gone.
func (p *Plugin) serveOnce(ctx context.Context) error {
	kubelet := filepath.Join(p.Dir, filepath.Base(api.KubeletSocket))
	if _, err := os.Stat(kubelet); err != nil {
		return nil // the kubelet isn't there yet
	}
	socket := filepath.Join(p.Dir, p.socket())
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening for the kubelet: %w", err)
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	if err := p.register(ctx, kubelet); err != nil {
		return err
	}
	fmt.Printf("registered %d × %s\n", len(p.Devices), p.Resource)
	for ctx.Err() == nil {
		if _, err := os.Stat(socket); err != nil {
			return nil
		}
		sleep(ctx, time.Second)
	}
	return nil
}

func (p *Plugin) register(ctx context.Context, kubelet string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = api.NewRegistrationClient(conn).Register(ctx, &api.RegisterRequest{
		Version:      api.Version,
		Endpoint:     p.socket(),
		ResourceName: p.Resource,
	})
	if err != nil {
		return fmt.Errorf("registering with the kubelet: %w", err)
	}
	return nil
}

// GetDevicePluginOptions asks for no extra calls.
func (p *Plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch sends the devices once: they never fail.
func (p *Plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	var devices []*api.Device
	for _, id := range p.Devices {
		devices = append(devices, &api.Device{ID: id, Health: api.Healthy})
	}
	if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Allocate sets the environment of each container to the devices allocated to it. A container
// with a replica of a device sees the device.
func (p *Plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		var ids []string
		for _, id := range container.DevicesIds {
			device, _, _ := strings.Cut(id, "::")
			ids = append(ids, device)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(ids, ",")},
		})
	}
	return response, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
