using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Devices;

/// <summary>
/// Where a worker's model computes. The state lies in host memory in any case, where the update is computed; a device with memory of its own holds a
/// copy of the weights, and a bounded number of nodes.
/// </summary>
public sealed class ComputeDevice
{
    /// <summary>
    /// Nodes that a device with memory of its own holds at once: the block in progress and three partial sums. More would be filled only every eighth
    /// block; they wait in host memory.
    /// </summary>
    internal const int StandardNodes = 4;

    private readonly DeviceType _type;
    private readonly int _index;

    private ComputeDevice(DeviceType type, int index, int nodes)
    {
        (_type, _index, Nodes) = (type, index, nodes);
    }

    /// <summary>The processor: the model reads and writes the state's own memory.</summary>
    public static ComputeDevice Cpu { get; } = new(DeviceType.CPU, -1, nodes: 0);

    /// <summary>Such as <c>cpu</c> or <c>cuda:0</c>.</summary>
    public string Name => _type == DeviceType.CPU ? "cpu" : $"cuda:{_index}";

    /// <summary>How many nodes its own memory holds at once; 0 for the processor.</summary>
    public int Nodes { get; }

    /// <summary>Whether its memory is not the host's.</summary>
    internal bool HasOwnMemory => Nodes > 0;

    /// <summary>torch's name for it.</summary>
    internal Device Torch => new(_type, _index);

    /// <summary>The device that <c>device</c> names. Call after <see cref="TorchRuntime.Load"/>.</summary>
    /// <param name="name"><c>cpu</c>; <c>cuda</c> or <c>cuda:N</c>; <c>auto</c> for a GPU where there is one.</param>
    /// <param name="worker">The worker's number on its host, by which workers share several GPUs; negative where nobody gave one.</param>
    /// <exception cref="DataException">The device is not there.</exception>
    public static ComputeDevice Open(string name, int worker)
    {
        var gpus = name == "cpu" || !cuda_is_available() ? 0 : cuda.device_count();
        if (name == "cpu" || (name == "auto" && gpus == 0))
        {
            return Cpu;
        }

        if (gpus == 0)
        {
            throw new DataException(
                $"device is '{name}', but torch finds no GPU: see that nvidia-smi lists one and that the program was built with -p:TorchBackend=cuda, or set device to cpu.");
        }

        var index = name.StartsWith("cuda:", StringComparison.Ordinal) ? int.Parse(name["cuda:".Length..]) : Math.Max(worker, 0) % gpus;
        if (index >= gpus)
        {
            throw new DataException($"device is '{name}', but there are {gpus} GPUs, numbered from 0: choose one of them.");
        }

        // fp32 means fp32: torch would let convolutions round their inputs to 10 bits.
        backends.cudnn.allow_tf32 = false;
        backends.cuda.matmul.allow_tf32 = false;
        return new ComputeDevice(DeviceType.CUDA, index, StandardNodes);
    }

    /// <summary>
    /// A stand-in for a GPU on hosts without one: the processor, treated as a device with memory of its own, with the processor's bits. What it does not
    /// take part in is the GPU's own: its kernels, pinned host memory, and the copies between the two memories.
    /// </summary>
    /// <param name="nodes">Nodes it holds at once, at least 1.</param>
    internal static ComputeDevice StandIn(int nodes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(nodes, 1);
        return new ComputeDevice(DeviceType.CPU, -1, nodes);
    }

    /// <summary>Host memory that the device copies from and to without a detour.</summary>
    internal NativeVector CreateHostVector(long count) => _type == DeviceType.CPU ? new NativeVector(count) : NativeVector.Pinned(count);

    /// <summary>Moves a model's parameters and buffers to the device. They stay the same tensors: TorchSharp's own way makes new ones, and fails where two
    /// modules hold the same one.</summary>
    internal void Take(nn.Module module)
    {
        List<Tensor> tensors = [.. module.parameters(), .. module.buffers()];
        if (_type != DeviceType.CPU)
        {
            TorchMemory.Move(tensors, Torch);
            return;
        }

        // The stand-in's memory is the one they are in already. A longer type and back takes new memory and changes no value.
        tensors.RemoveAll(t => !t.is_floating_point());
        TorchMemory.Convert(tensors, ScalarType.Float64);
        TorchMemory.Convert(tensors, ScalarType.Float32);
    }

    /// <summary>Moves a batch to the device; the given one must not be used any more.</summary>
    internal TensorBatch Take(TensorBatch batch)
    {
        if (!HasOwnMemory)
        {
            return batch;
        }

        using (batch)
        {
            return new TensorBatch(Copy(batch.Inputs), Copy(batch.Targets));
        }

        Tensor Copy(Tensor tensor) => tensor.to(tensor.dtype, Torch, copy: true);
    }
}
