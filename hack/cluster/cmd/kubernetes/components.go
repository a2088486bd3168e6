package main

import (
	"context"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserverapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanagerapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxyapp "k8s.io/kubernetes/cmd/kube-proxy/app"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/client-go/plugin/pkg/client/auth"           // what a kubeconfig may name
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
)

func apiServer()         { os.Exit(cli.Run(apiserverapp.NewAPIServerCommand())) }
func controllerManager() { os.Exit(cli.Run(controllermanagerapp.NewControllerManagerCommand())) }
func scheduler()         { os.Exit(cli.Run(schedulerapp.NewSchedulerCommand())) }
func kubelet()           { os.Exit(cli.Run(kubeletapp.NewKubeletCommand(context.Background()))) }
func proxy()             { os.Exit(cli.Run(proxyapp.NewProxyCommand())) }
func etcd()              { etcdmain.Main(os.Args) }

func kubectl() {
	// kubectl logs while it builds its commands (plugins, preferences), before
	// any flag is parsed: -v has to be found by hand.
	_, _ = logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
