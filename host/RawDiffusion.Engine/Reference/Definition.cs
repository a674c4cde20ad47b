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
            Activate activate => References.Activate(activate.Activation, x),
            Add => References.Add(x, At(1)!),
            AddEmbedding => References.AddEmbedding(x, At(1)!),
            Attention attention => References.Attention(x, attention.Heads),
            AvgPool2d pool => References.AvgPool(OnLoad(x, At(1), pool.OnLoad)),
            BatchNorm norm => References.BatchNorm(x, At(1)!, At(2)!, At(3)!, At(4)!, norm.Epsilon),
            Concat => References.Concat(x, At(1)!),
            Conv2d conv => Convolution(conv, At),
            DenoiseAverageStep step => DenoiseAverage(step, At),
            DenoiseStep step => References.DenoiseStep([x, At(1), At(2), At(3), At(4)], step.Clip),
            GroupNorm norm => References.GroupNorm(x, At(1)!, At(2)!, At(3), norm.Groups, norm.Epsilon, norm.Activation),
            GroupNormAffine norm => References.GroupNormAffine(Joined(x, At(4)), At(1)!, At(2)!, At(3), norm.Groups, norm.Epsilon),
            Linear linear => References.Activate(linear.OnStore, References.Linear(x, At(1)!, At(2))),
            SumRows mean => References.SumRows(mean.Groups, OnLoad(x, At(1), mean.OnLoad)),
            NextStep => x.Map(step => step + 1),
            Pool2d pool => References.Pool(pool, x),
            RandomNormal random => References.RandomNormal(random, (uint)x[0]),
            RepeatRows repeat => At(1) is { } e ? References.AddEmbedding(References.RepeatRows(repeat.Groups, x), e)
            : References.RepeatRows(repeat.Groups, x),
            View view => new Array64(view.Shape, x.Values[(int)view.Offset..(int)(view.Offset + view.Shape.Count)]),
            TableRow row => References.TableRow(x, At(1)![0], row.Rows),
            TimestepEmbedding embedding => References.TimestepEmbedding(x, embedding.Dimension),
            UpsampleNearest => References.Upsample(x),
            _ => EvaluateTraining(op, At, inputs),
        };
    }

    private static Array64 EvaluateTraining(Operator op, Func<int, Array64?> at, IReadOnlyList<Array64?> all)
    {
        Array64 x = at(0)!;
        return op switch
        {
            Adam adam => Training.Adam(adam, x, at(1)!, at(2)![0], at(3)!, at(4)![0], at(5)),
            ActivateGrad grad => Gradients.Activate(grad.Activation, x, at(1)!),
            AddEmbeddingGradEmbedding => Gradients.Embedding(x),
            AttentionGrad grad => Gradients.Attention(grad.Heads, x, at(1)!, at(2)!),
            AvgPool2dGradInput grad => Gradients.AvgPool(grad, x),
            BatchNormGradAffine grad => Gradients.BatchNormAffine(x, at(1)!, at(2)!, grad.Epsilon),
            BatchNormGradInput grad => Gradients.BatchNormInput(x, at(1)!, at(2)!, at(3)!, at(4)!, grad.Epsilon),
            BatchNormRunning running => Gradients.BatchNormRunning(running, x, at(1)!),
            BatchNormStatistics => Gradients.BatchNormStatistics(x),
            BatchNormTrain norm => Gradients.BatchNormTrain(x, at(1)!, at(2)!, at(3)!, norm.Epsilon),
            ChannelSum => Gradients.ChannelSum(x),
            Conv2dGradInput grad => Gradients.Conv2dInput(grad, x, at(1)!),
            Conv2dGradWeight grad => Gradients.Conv2dWeight(grad, x, at(1)!),
            Dropout dropout => Gradients.Dropout(dropout, x, (uint)at(1)![0]),
            GradientNorm norm => Training.GradientNorm(norm.Layout, x, at(1)),
            GroupNormGradAffine => Gradients.GroupNormAffine(x, at(1)),
            GroupNormGradFilm => Gradients.GroupNormFilm(x, at(1)!, at(2)!),
            GroupNormGradInput grad => Gradients.GroupNormInput(grad, x, at(1)!, at(2)!, at(3)!, at(4)!),
            GroupNormGradSums sums => Gradients.GroupNormSums(sums, x, at(1)!, at(2)!, at(3)!),
            PairwiseCosine cosine => Training.PairwiseCosine(cosine.Vectors, x),
            PairwiseCosineGrad grad => Training.PairwiseCosineGrad(grad.Vectors, x, at(1)![0]),
            LinearGradInput => Gradients.LinearInput(x, at(1)!),
            LinearGradWeight => Gradients.LinearWeight(x, at(1)!),
            LossScale => Training.LossScale(x, at(1)![0]),
            SumRowsGradInput grad => Gradients.SumRows(grad.Groups, x),
            MseLoss => Gradients.MseLoss(x, at(1)!, at(2)),
            MseLossGradPrediction => Gradients.MseLossPrediction(x, at(1)!, at(2), at(3)![0]),
            Pack pack => Training.Pack(pack.Layout, all),
            ScaleRows => Training.ScaleRows(x, at(1)!),
            Slice slice => Gradients.Slice(slice, x),
            UpsampleNearestGradInput => Gradients.Upsample(x),
            _ => throw new GraphException($"{op.Name} has no double-precision definition"),
        };
    }

    private static Array64 Joined(Array64 x, Array64? x2) => x2 is null ? x : References.Concat(x, x2);

    private static Array64 OnLoad(Array64 x, Array64? affine, Activation activation) =>
        References.Activate(activation, affine is null ? x : References.Affine(x, affine));

    private static Array64 Convolution(Conv2d conv, Func<int, Array64?> at)
    {
        Array64 x = OnLoad(Joined(at(0)!, at(Conv2d.X2)), at(Conv2d.Affine), conv.OnLoad);
        if (conv.Upsample) x = References.Upsample(x);
        Array64 y = References.Conv2d(x, at(1)!, conv.Stride, conv.Padding);
        if (at(Conv2d.SkipWeight) is { } weight)
            y = References.Add(y, References.Conv2d(Joined(at(Conv2d.Skip)!, at(Conv2d.Skip2)), weight, 1, 0));
        if (at(Conv2d.Bias) is { } bias) y = References.AddBias(y, bias);
        if (at(Conv2d.Embedding) is { } embedding) y = References.AddEmbedding(y, embedding);
        if (at(Conv2d.Residual) is { } residual) y = References.Add(y, conv.UpsampleResidual ? References.Upsample(residual) : residual);
        return References.Activate(conv.OnStore, y);
    }

    private static Array64 DenoiseAverage(DenoiseAverageStep step, Func<int, Array64?> at)
    {
        Array64 mean = References.SumRows(step.Groups, OnLoad(at(0)!, at(DenoiseAverageStep.Affine), step.OnLoad));
        Array64 prediction = References.Conv2d(mean, at(DenoiseAverageStep.Weight)!, 1, 1);
        if (at(DenoiseAverageStep.Bias) is { } bias) prediction = References.AddBias(prediction, bias);
        return References.DenoiseStep([prediction, at(1), at(2), at(3), at(4)], step.Clip);
    }
}
