using System.Buffers;
using System.Globalization;

namespace DistTrain.Core.Schedules;

/// <summary>What a duration is counted in.</summary>
public enum DurationUnit
{
    /// <summary>Passes over the data.</summary>
    Epochs,

    /// <summary>Optimizer steps.</summary>
    Steps,

    /// <summary>Samples.</summary>
    Samples,
}

/// <summary>A part of a run.</summary>
/// <param name="Amount">How many, 0 or more; whole, where they are not epochs.</param>
/// <param name="Unit">Of what.</param>
public readonly record struct RunDuration(double Amount, DurationUnit Unit)
{
    private const double MostAmount = 1L << 50;
    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789.");

    /// <summary>The first that is given of three keys; no samples where none is.</summary>
    public static RunDuration Of(double epochs, long steps, long samples) =>
        epochs > 0 ? new(epochs, DurationUnit.Epochs) : steps > 0 ? new(steps, DurationUnit.Steps) : new(samples, DurationUnit.Samples);

    /// <summary>Reads text such as <c>2 epochs</c>, <c>0.5 epochs</c>, <c>500 steps</c> or <c>1 epoch</c>.</summary>
    public static bool TryParse(string text, out RunDuration duration)
    {
        var digits = text.AsSpan().Trim();
        var end = digits.IndexOfAnyExcept(Digits);
        duration = default;
        if (end < 1 || !double.TryParse(digits[..end], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount) || amount > MostAmount)
        {
            return false;
        }

        DurationUnit? unit = digits[end..].Trim().ToString().ToLowerInvariant() switch
        {
            "epoch" or "epochs" => DurationUnit.Epochs,
            "step" or "steps" => DurationUnit.Steps,
            "sample" or "samples" => DurationUnit.Samples,
            _ => null,
        };
        duration = new RunDuration(amount, unit ?? default);
        return unit is not null && (unit == DurationUnit.Epochs || double.IsInteger(amount));
    }
}
