% Receive a stream of the Lab Streaming Layer in MATLAB: its channels, then its values.
%
% Needs liblsl-Matlab (https://github.com/labstreaminglayer/liblsl-Matlab) on the path. The
% sender, for instance of a glove:
%
%     capture-glove auto | calibrate-frames --unit kPa | to-lsl
name = 'JQGlove';
lib = lsl_loadlib();

found = {};
while isempty(found)
    found = lsl_resolve_byprop(lib, 'name', name, 1, 5);
end
% What is not pulled for 360 s is overwritten here, unseen by the sender.
inlet = lsl_inlet(found{1}, 360);
info = inlet.info();

labels = {};
channel = info.desc().child('channels').child('channel');
while ~channel.empty()
    labels{end + 1} = char(channel.child_value('label')); %#ok<SAGROW>
    channel = channel.next_sibling('channel');
end
fprintf('%s: %d channels at %g Hz\n', info.name(), info.channel_count(), ...
    info.nominal_srate());

while true
    % One column for each sample, and its time on the sender's clock; adding the correction
    % puts times of another host on this one's.
    [samples, times] = inlet.pull_chunk();
    if ~isempty(times)
        times = times + inlet.time_correction();
        [value, most] = max(samples(:, end));
        fprintf('%.3f: %d samples, most: %s %g\n', times(end), numel(times), ...
            labels{most}, value);
    end
    pause(0.1);
end
