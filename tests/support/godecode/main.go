// Reads answers of a Docker endpoint as compiled Go clients do, and says what they can't read.
//
// Each line of the input is a JSON object: the `row` of the routing table that was asked, and the `answer`. Each line of
// the output belongs to one of the input: what docker's own types say of it, where an unknown field is an error too, and
// then what go-dockerclient's say; empty where all is well.
//
// What balance adds to lists is written down here, in the types that embed docker's: nothing else may be added.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/swarm"
	godocker "github.com/fsouza/go-dockerclient"
)

// An engine, by its name, as lists tell it.
type named struct{ Node string }

// An engine, as inspections describe it.
type described struct{ Node types.ContainerNode }

type listedContainer struct {
	types.Container
	named
}

type listedImage struct {
	types.ImageSummary
	Nodes []string
}

type listedVolume struct {
	types.Volume
	named
}

type listedPlugin struct {
	types.Plugin
	named
}

type event struct {
	events.Message
	named
}

type network struct {
	types.NetworkResource
	described
}

type inspectedVolume struct {
	types.Volume
	described
}

type volumes struct {
	Volumes  []inspectedVolume
	Warnings []string
}

type usage struct {
	LayersSize int64
	Images     []struct {
		types.ImageSummary
		named
	}
	Containers []listedContainer
	Volumes    []listedVolume
	BuildCache []struct {
		types.BuildCache
		named
	}
	BuilderSize int64
	Nodes       map[string]struct{ LayersSize int64 }
}

// What each row answers with: in docker's own types, and in go-dockerclient's, where it has one for it.
var rows = map[string][2]interface{}{
	"ConfigInspect":    {swarm.Config{}, nil},
	"ConfigList":       {[]swarm.Config{}, nil},
	"ContainerChanges": {[]container.ContainerChangeResponseItem{}, []godocker.Change{}},
	"ContainerCreate":  {container.ContainerCreateCreatedBody{}, godocker.Container{}},
	"ContainerExec":    {types.IDResponse{}, godocker.Exec{}},
	"ContainerInspect": {types.ContainerJSON{}, godocker.Container{}},
	"ContainerList":    {[]listedContainer{}, []godocker.APIContainers{}},
	"ContainerPrune":   {types.ContainersPruneReport{}, godocker.PruneContainersResults{}},
	"ContainerStats":   {types.StatsJSON{}, godocker.Stats{}},
	"ContainerTop":     {container.ContainerTopOKBody{}, godocker.TopResult{}},
	"ContainerUpdate":  {container.ContainerUpdateOKBody{}, nil},
	"ContainerWait":    {container.ContainerWaitOKBody{}, nil},
	"Error":            {types.ErrorResponse{}, nil},
	"ExecInspect":      {backend.ExecInspect{}, godocker.ExecInspect{}},
	"ImageDelete":      {[]types.ImageDeleteResponseItem{}, nil},
	"ImageHistory":     {[]image.HistoryResponseItem{}, []godocker.ImageHistory{}},
	"ImageInspect":     {types.ImageInspect{}, godocker.Image{}},
	"ImageList":        {[]listedImage{}, []godocker.APIImages{}},
	"ImagePrune":       {types.ImagesPruneReport{}, godocker.PruneImagesResults{}},
	"NetworkCreate":    {types.NetworkCreateResponse{}, godocker.Network{}},
	"NetworkInspect":   {network{}, godocker.Network{}},
	"NetworkList":      {[]network{}, []godocker.Network{}},
	"NetworkPrune":     {types.NetworksPruneReport{}, godocker.PruneNetworksResults{}},
	"NodeInspect":      {swarm.Node{}, swarm.Node{}},
	"NodeList":         {[]swarm.Node{}, []swarm.Node{}},
	"PluginList":       {[]listedPlugin{}, []godocker.PluginDetail{}},
	"SecretInspect":    {swarm.Secret{}, nil},
	"SecretList":       {[]swarm.Secret{}, nil},
	"ServiceInspect":   {swarm.Service{}, swarm.Service{}},
	"ServiceList":      {[]swarm.Service{}, []swarm.Service{}},
	"SwarmInspect":     {swarm.Swarm{}, swarm.Swarm{}},
	"SwarmUnlockkey":   {types.SwarmUnlockKeyResponse{}, nil},
	"SystemDataUsage":  {usage{}, godocker.DiskUsage{}},
	"SystemEvents":     {event{}, godocker.APIEvents{}},
	"SystemInfo":       {types.Info{}, godocker.DockerInfo{}},
	"SystemVersion":    {types.Version{}, nil},
	"TaskInspect":      {swarm.Task{}, swarm.Task{}},
	"TaskList":         {[]swarm.Task{}, []swarm.Task{}},
	"VolumeCreate":     {inspectedVolume{}, godocker.Volume{}},
	"VolumeInspect":    {inspectedVolume{}, godocker.Volume{}},
	"VolumeList":       {volumes{}, nil},
	"VolumePrune":      {types.VolumesPruneReport{}, godocker.PruneVolumesResults{}},
}

func read(answer []byte, into interface{}, strict bool) string {
	if into == nil {
		return ""
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	if strict {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(reflect.New(reflect.TypeOf(into)).Interface()); err != nil {
		return err.Error()
	}
	return ""
}

func main() {
	input := json.NewDecoder(os.Stdin)
	for input.More() {
		var given struct {
			Row    string
			Answer json.RawMessage
		}
		if err := input.Decode(&given); err != nil {
			panic(err)
		}
		types, known := rows[given.Row]
		if !known {
			fmt.Println("no type is known for it")
			continue
		}
		said := read(given.Answer, types[0], true)
		if theirs := read(given.Answer, types[1], false); said == "" && theirs != "" {
			said = "go-dockerclient: " + theirs
		}
		fmt.Println(said)
	}
}
