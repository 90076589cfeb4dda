using System.Collections;
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Numerics;
using System.Reflection;

namespace DistTrain.Core.Options;

/// <summary>
/// Turns a flat table of keys (<c>batch.global</c>) into an options record, and back. Unlike a binder it does not stop
/// at the first mistake: the user learns of all of them at once, unknown keys included.
/// </summary>
public static class OptionsReader
{
    /// <summary>
    /// Reads a record whose properties are scalars, nested records, maps or <see cref="OptionSection"/>s, and asks it for relations between its keys
    /// where it is <see cref="IOptionRelations"/>.
    /// </summary>
    /// <param name="values">Keys with dots, compared without case, and their text.</param>
    /// <param name="path">
    /// What stands before every key in a message, such as <c>model</c>; empty for the whole configuration.
    /// </param>
    /// <returns>The record, with defaults where a key is missing or wrong, and every mistake.</returns>
    public static (T Options, IReadOnlyList<OptionProblem> Problems) Read<T>(
        IReadOnlyDictionary<string, string> values, string path = "")
        where T : new()
    {
        var problems = new List<OptionProblem>();
        var left = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (key, value) in values)
        {
            if (!left.TryAdd(key, value))
            {
                const string Remedy = "the same key stands there in another spelling; keep one";
                problems.Add(new OptionProblem(Join(path, key), value, Remedy));
            }
        }

        var options = (T)Fill(typeof(T), "", path, left, problems);
        var known = Keys(typeof(T)).Select(k => k.Key).ToList();
        foreach (var (key, value) in left.OrderBy(k => k.Key, StringComparer.Ordinal))
        {
            problems.Add(new OptionProblem(Join(path, key), value, Unknown(key, path, known)));
        }

        if (problems.Count == 0 && options is IOptionRelations relations)
        {
            problems.AddRange(relations.Validate().Select(p => p with { Key = Join(path, p.Key) }));
        }

        return (options, problems);
    }

    /// <summary>The configuration and every mistake in it, relations between keys included.</summary>
    public static (RunOptions Options, IReadOnlyList<OptionProblem> Problems) ReadRun(
        IReadOnlyDictionary<string, string> values)
    {
        var (options, problems) = Read<RunOptions>(values);
        return (options, [.. problems, .. options.Validate().Where(p => !problems.Any(q => Explains(q, p)))]);

        // A value that could not be read is reported once, not once more as missing.
        static bool Explains(OptionProblem first, OptionProblem then) =>
            first.Key.Equals(then.Key, StringComparison.OrdinalIgnoreCase)
            || first.Key.Equals(then.Follows, StringComparison.OrdinalIgnoreCase)
            || (then.Value is null && first.Key.StartsWith(then.Key + ".", StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>
    /// Every key of a record: name with dots, its default as text, its description, and whether it can change the bits
    /// of a run.
    /// </summary>
    public static IEnumerable<OptionKey> Keys(Type type) =>
        Keys(type, "", Activator.CreateInstance(type)!, hostOnly: false);

    /// <summary>The same with the values of a record in place of the defaults.</summary>
    public static IEnumerable<OptionKey> Keys(object options) => Keys(options.GetType(), "", options, hostOnly: false);

    /// <summary>A record as a flat table, the inverse of <see cref="Read{T}"/>.</summary>
    public static SortedDictionary<string, string> Write(object options)
    {
        var values = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var key in Keys(options))
        {
            foreach (var (name, value) in key.Entries)
            {
                values[name] = value;
            }
        }

        return values;
    }

    /// <summary>
    /// The lines of a flat table that decide the bits of a run: what two runs have to share to be compared.
    /// </summary>
    /// <remarks>Where the data lie is the host's business: their content has a fingerprint of its own.</remarks>
    public static IEnumerable<string> IdentityLines(RunOptions options) =>
        Keys(options)
            .Where(k => !k.HostOnly)
            .SelectMany(k => k.Entries)
            .Where(e => !DataLocation.Holds(e.Key))
            .Select(e => $"{e.Key}={e.Value}")
            .Order(StringComparer.Ordinal);

    private static object Fill(
        Type type, string prefix, string path, Dictionary<string, string> left, List<OptionProblem> problems)
    {
        var options = Activator.CreateInstance(type)!;
        foreach (var property in Properties(type))
        {
            var key = Join(prefix, Camel(property.Name));
            var kind = property.PropertyType;
            if (kind == typeof(OptionSection))
            {
                property.SetValue(options, new OptionSection(Join(path, key), TakeBelow(key, left)));
            }
            else if (MapOf(kind) is var (values, map))
            {
                if (left.Remove(key, out var whole))
                {
                    problems.Add(new OptionProblem(Join(path, key), whole, $"takes values below it; set one, such as {Join(path, key)}.{property.GetCustomAttribute<ExampleAttribute>()!.Text}"));
                }

                foreach (var (name, text) in TakeBelow(key, left))
                {
                    if (TryParse(values, text, out var value, out var expected))
                    {
                        map[name] = value;
                    }
                    else
                    {
                        problems.Add(new OptionProblem(Join(path, Join(key, name)), text, $"must be {expected}"));
                    }
                }

                property.SetValue(options, map);
            }
            else if (IsRecord(kind))
            {
                property.SetValue(options, Fill(kind, key, path, left, problems));
            }
            else if (left.Remove(key, out var text))
            {
                if (IsAutomatic(property) && text.Trim().Equals(OrAutoAttribute.Word, StringComparison.OrdinalIgnoreCase))
                {
                    property.SetValue(options, 0);
                }
                else if (!TryParse(kind, text, out var value, out var expected))
                {
                    problems.Add(new OptionProblem(Join(path, key), text, $"must be {expected}{Bounds(property)}"));
                }
                else if (Wrong(property, value) is { } remedy)
                {
                    problems.Add(new OptionProblem(Join(path, key), text, remedy));
                }
                else
                {
                    property.SetValue(options, value);
                }
            }
            else if (property.GetCustomAttribute<RequiredAttribute>() is not null)
            {
                problems.Add(OptionProblem.Missing(Join(path, key), $"set it to {Description(property)}"));
            }
        }

        return options;
    }

    /// <summary>Of a property that maps names to values: the values' type, and an empty map; null for any other.</summary>
    private static (Type Values, IDictionary Map)? MapOf(Type kind) =>
        kind.IsGenericType && kind.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>)
            ? (kind.GenericTypeArguments[1], (IDictionary)Activator.CreateInstance(typeof(Dictionary<,>).MakeGenericType(kind.GenericTypeArguments))!)
            : null;

    private static Dictionary<string, string> TakeBelow(string key, Dictionary<string, string> left)
    {
        var below = left.Where(e => e.Key.StartsWith(key + ".", StringComparison.OrdinalIgnoreCase)).ToList();
        below.ForEach(e => left.Remove(e.Key));
        return below.ToDictionary(e => e.Key[(key.Length + 1)..], e => e.Value, StringComparer.OrdinalIgnoreCase);
    }

    private static string Unknown(string key, string path, List<string> known)
    {
        if (known.Find(k => k.StartsWith(key + ".", StringComparison.OrdinalIgnoreCase)) is { } below)
        {
            return $"is a group of keys; set one of those below it, such as {Join(path, below)}";
        }

        if (known.Contains(key, StringComparer.OrdinalIgnoreCase))
        {
            return $"is a group of keys; set one of those below it, such as {Join(path, key)}.name";
        }

        var near = known.MinBy(k => Distance(k, key));
        var hint = near is not null && Distance(near, key) <= 3 ? $" (the nearest is {Join(path, near)})" : "";
        return "no such key; see disttrain train --help" + hint;
    }

    private static string? Wrong(PropertyInfo property, object? value)
    {
        foreach (var attribute in property.GetCustomAttributes<ValidationAttribute>())
        {
            if (!attribute.IsValid(value))
            {
                return attribute switch
                {
                    RangeAttribute => $"must be{Bounds(property)}",
                    AllowedValuesAttribute allowed => $"must be {string.Join(" or ", allowed.Values)}",
                    RequiredAttribute => "must not be empty",
                    ByteSizeAttribute amount => amount.Remedy(value),
                    _ => attribute.FormatErrorMessage(Camel(property.Name)),
                };
            }
        }

        return null;
    }

    /// <summary>The range of a property, as the end of a sentence; empty where it has none.</summary>
    private static string Bounds(PropertyInfo property)
    {
        if (property.GetCustomAttribute<RangeAttribute>() is not { } range)
        {
            return "";
        }

        // The attribute turns bounds given as text into values when it is first asked.
        _ = range.IsValid(null);
        return $" between {Bound(range.Minimum)} and {Bound(range.Maximum)}{(IsAutomatic(property) ? $", or {OrAutoAttribute.Word}" : "")}";

        // The attribute knows no long: 2^50 arrives as a double and must not be shown as 1.12E+15.
        static string Bound(object bound) =>
            bound is double number && Math.Abs(number) < 1L << 53 && double.IsInteger(number)
                ? Text((long)number)
                : Text(bound);
    }

    private static IEnumerable<OptionKey> Keys(Type type, string prefix, object options, bool hostOnly)
    {
        foreach (var property in Properties(type))
        {
            var key = Join(prefix, Camel(property.Name));
            var host = hostOnly || property.GetCustomAttribute<HostOnlyAttribute>() is not null;
            var value = property.GetValue(options);
            var description = Description(property);
            switch (value)
            {
                case OptionSection section:
                    yield return Group(section.Values.ToDictionary(e => Join(key, e.Key), e => e.Value));
                    break;
                case IDictionary map:
                    yield return Group(map.Keys.Cast<string>().ToDictionary(name => Join(key, name), name => Text(map[name])));
                    break;
                case not null when IsRecord(property.PropertyType):
                    foreach (var nested in Keys(property.PropertyType, key, value, host))
                    {
                        yield return nested;
                    }

                    break;
                default:
                    var text = value is 0 && IsAutomatic(property) ? OrAutoAttribute.Word : Text(value);
                    var line = value is null ? [] : new Dictionary<string, string> { [key] = text };
                    yield return new OptionKey(key, text, description, host, line);
                    break;
            }

            OptionKey Group(Dictionary<string, string> lines) => new(key, "", description, host, lines);
        }
    }

    private static bool TryParse(Type type, string text, out object? value, out string expected)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(string))
        {
            (value, expected) = (text, "text");
        }
        else if (type == typeof(bool))
        {
            (value, expected) = (bool.TryParse(text, out var flag) ? flag : null, "true or false");
        }
        else if (type == typeof(int))
        {
            (value, expected) = (Parsed<int>(NumberStyles.Integer), "a whole number");
        }
        else if (type == typeof(long))
        {
            (value, expected) = (Parsed<long>(NumberStyles.Integer), "a whole number");
        }
        else if (type == typeof(ulong))
        {
            (value, expected) = (Parsed<ulong>(NumberStyles.None), "a whole number, 0 or more");
        }
        else if (type == typeof(double))
        {
            var real = Parsed<double>(NumberStyles.Float);
            (value, expected) = (real is { } number && double.IsFinite(number) ? real : null, "a number");
        }
        else if (type == typeof(TimeSpan))
        {
            var duration = Duration.TryParse(text, out var span) ? span : default(TimeSpan?);
            (value, expected) = (duration, "a duration such as 500ms, 2s or 5m");
        }
        else
        {
            throw new InvalidOperationException($"Options of type {type} are not supported.");
        }

        return value is not null;

        T? Parsed<T>(NumberStyles style)
            where T : struct, INumberBase<T> =>
            T.TryParse(text, style, CultureInfo.InvariantCulture, out var number) ? number : null;
    }

    private static bool IsAutomatic(PropertyInfo property) => property.GetCustomAttribute<OrAutoAttribute>() is not null;

    private static string Description(PropertyInfo property) =>
        property.GetCustomAttribute<DescriptionAttribute>()?.Description ?? "";

    private static string Text(object? value) => value switch
    {
        null => "",
        bool flag => flag ? "true" : "false",
        TimeSpan span => Duration.Format(span),
        double number => number.ToString("R", CultureInfo.InvariantCulture),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static IEnumerable<PropertyInfo> Properties(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite);

    private static bool IsRecord(Type type) => type.IsClass && type != typeof(string) && type != typeof(OptionSection);

    private static string Camel(string name) => char.ToLowerInvariant(name[0]) + name[1..];

    private static string Join(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    /// <summary>Levenshtein's edit distance.</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var same = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]);
                var substituted = diagonal + (same ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[b.Length];
    }
}

/// <summary>One key of a configuration.</summary>
/// <param name="Key">Its name with dots.</param>
/// <param name="Default">The value it has, as text.</param>
/// <param name="Description">What it means.</param>
/// <param name="HostOnly">Whether it cannot change the bits of a run.</param>
/// <param name="Entries">The lines it contributes to a flat table; several for a section or a map.</param>
public sealed record OptionKey(
    string Key, string Default, string Description, bool HostOnly, Dictionary<string, string> Entries);
