using DistTrain.Core.Health;

namespace DistTrain.Protocol.Hosting;

/// <summary>What a coordinator or worker answers when it is asked how it is. Any thread may ask.</summary>
public interface IHealthSource
{
    /// <summary>Whether it has started.</summary>
    HealthAnswer Startup { get; }

    /// <summary>Whether it does what it is there for.</summary>
    HealthAnswer Ready { get; }

    /// <summary>Whether it gets on, so that a restart would only do harm.</summary>
    HealthAnswer Live { get; }
}
