using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Reference;

/// <summary>
/// What operators compute, in double precision: slow, obviously right, and what every device is checked against.
/// </summary>
public static class Definition
{
    /// <summary>Evaluates one operator.</summary>
    /// <param name="op">Operator with its attributes.</param>
    /// <param name="inputs">Inputs by the operator's positions; null where absent.</param>
    /// <exception cref="GraphException">The operator has no definition.</exception>
    public static Array64 Evaluate(Operator op, IReadOnlyList<Array64?> inputs)
    {
        Array64? At(int position) => position < inputs.Count ? inputs[position] : null;
        Array64 x = At(0) ?? new Array64([0]);
        return op switch
        {
            Activate activate => ForwardDefinitions.Activate(activate.Activation, x),
            Add => ForwardDefinitions.Add(x, At(1)!),
            AddEmbedding => ForwardDefinitions.AddEmbedding(x, At(1)!),
            Attention attention => ForwardDefinitions.Attention(x, attention.Heads),
            AvgPool2d pool => ForwardDefinitions.AvgPool(OnLoad(x, At(1), pool.OnLoad)),
            BatchNorm norm => ForwardDefinitions.BatchNorm(x, At(1)!, At(2)!, At(3)!, At(4)!, norm.Epsilon),
            Concat => ForwardDefinitions.Concat(x, At(1)!),
            Conv2d conv => Convolution(conv, At),
            DenoiseAverageStep step => DenoiseAverage(step, At),
            DenoiseStep step => ForwardDefinitions.DenoiseStep([x, At(1), At(2), At(3), At(4)], step.Clip),
            GroupNorm norm => ForwardDefinitions.GroupNorm(x, At(1)!, At(2)!, At(3), norm.Groups, norm.Epsilon, norm.Activation),
            GroupNormAffine norm => ForwardDefinitions.GroupNormAffine(Joined(x, At(4)), At(1)!, At(2)!, At(3), norm.Groups, norm.Epsilon),
            Linear linear => ForwardDefinitions.Activate(linear.OnStore, ForwardDefinitions.Linear(x, At(1)!, At(2))),
            SumRows mean => ForwardDefinitions.SumRows(mean.Groups, OnLoad(x, At(1), mean.OnLoad)),
            NextStep => x.Map(step => step + 1),
            Pool2d pool => ForwardDefinitions.Pool(pool, x),
            RandomNormal random => ForwardDefinitions.RandomNormal(random, (uint)x[0]),
            RepeatRows repeat => At(1) is { } e ? ForwardDefinitions.AddEmbedding(ForwardDefinitions.RepeatRows(repeat.Groups, x), e)
            : ForwardDefinitions.RepeatRows(repeat.Groups, x),
            View view => new Array64(view.Shape, x.Values[(int)view.Offset..(int)(view.Offset + view.Shape.Count)]),
            TableRow row => ForwardDefinitions.TableRow(x, At(1)![0], row.Rows),
            TimestepEmbedding embedding => ForwardDefinitions.TimestepEmbedding(x, embedding.Dimension),
            UpsampleNearest => ForwardDefinitions.Upsample(x),
            _ => EvaluateTraining(op, At, inputs),
        };
    }

    private static Array64 EvaluateTraining(Operator op, Func<int, Array64?> at, IReadOnlyList<Array64?> all)
    {
        Array64 x = at(0)!;
        return op switch
        {
            Adam adam => TrainingDefinitions.Adam(adam, x, at(1)!, at(2)![0], at(3)!, at(4)![0], at(5)),
            ActivateGrad grad => GradientDefinitions.Activate(grad.Activation, x, at(1)!),
            AddEmbeddingGradEmbedding => GradientDefinitions.Embedding(x),
            AttentionGrad grad => GradientDefinitions.Attention(grad.Heads, x, at(1)!, at(2)!),
            AvgPool2dGradInput grad => GradientDefinitions.AvgPool(grad, x),
            BatchNormGradAffine grad => GradientDefinitions.BatchNormAffine(x, at(1)!, at(2)!, grad.Epsilon),
            BatchNormGradInput grad => GradientDefinitions.BatchNormInput(x, at(1)!, at(2)!, at(3)!, at(4)!, grad.Epsilon),
            BatchNormRunning running => GradientDefinitions.BatchNormRunning(running, x, at(1)!),
            BatchNormStatistics => GradientDefinitions.BatchNormStatistics(x),
            BatchNormTrain norm => GradientDefinitions.BatchNormTrain(x, at(1)!, at(2)!, at(3)!, norm.Epsilon),
            ChannelSum => GradientDefinitions.ChannelSum(x),
            Conv2dGradInput grad => GradientDefinitions.Conv2dInput(grad, x, at(1)!),
            Conv2dGradWeight grad => GradientDefinitions.Conv2dWeight(grad, x, at(1)!),
            Dropout dropout => GradientDefinitions.Dropout(dropout, x, (uint)at(1)![0]),
            GradientNorm norm => TrainingDefinitions.GradientNorm(norm.Layout, x, at(1)),
            GroupNormGradAffine => GradientDefinitions.GroupNormAffine(x, at(1)),
            GroupNormGradFilm => GradientDefinitions.GroupNormFilm(x, at(1)!, at(2)!),
            GroupNormGradInput grad => GradientDefinitions.GroupNormInput(grad, x, at(1)!, at(2)!, at(3)!, at(4)!),
            GroupNormGradSums sums => GradientDefinitions.GroupNormSums(sums, x, at(1)!, at(2)!, at(3)!),
            PairwiseCosine cosine => TrainingDefinitions.PairwiseCosine(cosine.Vectors, x),
            PairwiseCosineGrad grad => TrainingDefinitions.PairwiseCosineGrad(grad.Vectors, x, at(1)![0]),
            LinearGradInput => GradientDefinitions.LinearInput(x, at(1)!),
            LinearGradWeight => GradientDefinitions.LinearWeight(x, at(1)!),
            LossScale => TrainingDefinitions.LossScale(x, at(1)![0]),
            SumRowsGradInput grad => GradientDefinitions.SumRows(grad.Groups, x),
            MseLoss => GradientDefinitions.MseLoss(x, at(1)!, at(2)),
            MseLossGradPrediction => GradientDefinitions.MseLossPrediction(x, at(1)!, at(2), at(3)![0]),
            Pack pack => TrainingDefinitions.Pack(pack.Layout, all),
            ScaleRows => TrainingDefinitions.ScaleRows(x, at(1)!),
            Slice slice => GradientDefinitions.Slice(slice, x),
            UpsampleNearestGradInput => GradientDefinitions.Upsample(x),
            _ => throw new GraphException($"{op.Name} has no double-precision definition"),
        };
    }

    private static Array64 Joined(Array64 x, Array64? x2) => x2 is null ? x : ForwardDefinitions.Concat(x, x2);

    private static Array64 OnLoad(Array64 x, Array64? affine, Activation activation) =>
        ForwardDefinitions.Activate(activation, affine is null ? x : ForwardDefinitions.Affine(x, affine));

    private static Array64 Convolution(Conv2d conv, Func<int, Array64?> at)
    {
        Array64 x = OnLoad(Joined(at(0)!, at(Conv2d.X2)), at(Conv2d.Affine), conv.OnLoad);
        if (conv.Upsample) x = ForwardDefinitions.Upsample(x);
        Array64 y = ForwardDefinitions.Conv2d(x, at(1)!, conv.Stride, conv.Padding);
        if (at(Conv2d.SkipWeight) is { } weight)
            y = ForwardDefinitions.Add(y, ForwardDefinitions.Conv2d(Joined(at(Conv2d.Skip)!, at(Conv2d.Skip2)), weight, 1, 0));
        if (at(Conv2d.Bias) is { } bias) y = ForwardDefinitions.AddBias(y, bias);
        if (at(Conv2d.Embedding) is { } embedding) y = ForwardDefinitions.AddEmbedding(y, embedding);
        if (at(Conv2d.Residual) is { } residual) y = ForwardDefinitions.Add(y, conv.UpsampleResidual ? ForwardDefinitions.Upsample(residual) : residual);
        return ForwardDefinitions.Activate(conv.OnStore, y);
    }

    private static Array64 DenoiseAverage(DenoiseAverageStep step, Func<int, Array64?> at)
    {
        Array64 mean = ForwardDefinitions.SumRows(step.Groups, OnLoad(at(0)!, at(DenoiseAverageStep.Affine), step.OnLoad));
        Array64 prediction = ForwardDefinitions.Conv2d(mean, at(DenoiseAverageStep.Weight)!, 1, 1);
        if (at(DenoiseAverageStep.Bias) is { } bias) prediction = ForwardDefinitions.AddBias(prediction, bias);
        return ForwardDefinitions.DenoiseStep([prediction, at(1), at(2), at(3), at(4)], step.Clip);
    }
}
