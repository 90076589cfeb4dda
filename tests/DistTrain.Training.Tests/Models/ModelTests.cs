using DistTrain.Training.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Models;

/// <summary>The built-in models: shapes, gradients, dropout and memory.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ModelTests
{
    public static TheoryData<string, int> ModelsAndSides => new()
    {
        { "mlp", 8 }, { "mlp", 28 }, { "mlp", 1 }, { "cnn", 8 }, { "cnn", 28 }, { "cnn", 4 }, { "cnn", 7 },
    };

    [Theory]
    [MemberData(nameof(ModelsAndSides))]
    public void A_model_turns_images_into_one_logit_for_each_class(string name, int side)
    {
        using var model = Build(name, side);
        using var images = randn(5, 1, side, side);
        using var logits = model.call(images);

        Assert.Equal([5, 10], logits.shape);
    }

    [Theory]
    [MemberData(nameof(ModelsAndSides))]
    public void Every_parameter_gets_a_finite_gradient(string name, int side)
    {
        manual_seed(1);
        using var scope = NewDisposeScope();
        using var model = Build(name, side);
        model.call(randn(5, 1, side, side)).pow(2).sum().backward();

        Assert.All(model.named_parameters(), p =>
        {
            Assert.NotNull(p.parameter.grad);
            Assert.True(p.parameter.grad.isfinite().all().ToBoolean(), p.name);
            Assert.True(p.parameter.grad.abs().sum().ToSingle() > 0, p.name);
        });
    }

    [Theory]
    [InlineData("mlp")]
    [InlineData("cnn")]
    public void Dropout_follows_the_seed_in_training_and_is_off_in_evaluation(string name)
    {
        using var scope = NewDisposeScope();
        using var model = Build(name, 8, dropout: 0.5);
        var images = randn(5, 1, 8, 8);

        model.train();
        Assert.True(Seeded(1).equal(Seeded(1)).all().ToBoolean());
        Assert.False(Seeded(1).equal(Seeded(2)).all().ToBoolean());
        model.eval();
        Assert.True(Seeded(1).equal(Seeded(2)).all().ToBoolean());

        Tensor Seeded(long seed)
        {
            manual_seed(seed);
            return model.call(images);
        }
    }

    [Theory]
    [InlineData("mlp", 8, 64 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10)]
    [InlineData("cnn", 28, 320 + 18_496 + 64 * 7 * 7 * 128 + 128 + 1_290)]
    public void The_number_of_parameters_is_known(string name, int side, long expected)
    {
        using var model = Build(name, side);

        Assert.Equal(expected, model.parameters().Sum(p => p.numel()));
    }

    [Theory]
    [InlineData("mlp")]
    [InlineData("cnn")]
    public void A_forward_pass_leaves_nothing_but_its_result(string name)
    {
        using var model = Build(name, 8, dropout: 0.5);
        using var images = randn(5, 1, 8, 8);
        model.call(images).Dispose();
        var before = Tensor.TotalCount;
        for (var i = 0; i < 100; i++)
        {
            model.call(images).Dispose();
        }

        Assert.True(Tensor.TotalCount <= before);
    }

    [Fact]
    public void Images_too_small_for_two_poolings_are_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new Cnn(3, 28, 10));

    private static nn.Module<Tensor, Tensor> Build(string name, int side, double dropout = 0) =>
        name == "cnn" ? new Cnn(side, side, 10, dropout: dropout) : new Mlp(side * side, 10, dropout: dropout);
}
