#ifndef NNET_HWSIM_H_
#define NNET_HWSIM_H_

// Layers that hwsim adds to hls4ml: a left shift by a constant of each channel, and a clamp between two constants.

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

// Each channel times a power of two. CONFIG_T::wide_t holds every shifted value, so nothing is lost before the result.
template <class data_T, class res_T, typename CONFIG_T>
void channel_shift(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in]) {
    #pragma HLS PIPELINE

ShiftLoop:
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        typename CONFIG_T::wide_t value = data[i];
        res[i] = typename CONFIG_T::wide_t(value << CONFIG_T::shift[i % CONFIG_T::n_chan]);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void channel_shift(hls::stream<data_T> &data, hls::stream<res_T> &res) {
ShiftLoop:
    for (unsigned i = 0; i < CONFIG_T::n_in / res_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in_data = data.read();
        res_T out_data;
        PRAGMA_DATA_PACK(out_data)

    ShiftPack:
        for (unsigned j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            typename CONFIG_T::wide_t value = in_data[j];
            out_data[j] = typename CONFIG_T::wide_t(value << CONFIG_T::shift[j % CONFIG_T::n_chan]);
        }
        res.write(out_data);
    }
}

// Values below low and above high become low and high. CONFIG_T::wide_t holds the data and both bounds.
template <class data_T, typename CONFIG_T> typename CONFIG_T::wide_t clamped(data_T value) {
    #pragma HLS INLINE
    const typename CONFIG_T::wide_t low = CONFIG_T::low;
    const typename CONFIG_T::wide_t high = CONFIG_T::high;
    typename CONFIG_T::wide_t wide = value;
    if (CONFIG_T::has_low && wide < low)
        return low;
    if (CONFIG_T::has_high && wide > high)
        return high;
    return wide;
}

template <class data_T, class res_T, typename CONFIG_T>
void clamp(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in]) {
    #pragma HLS PIPELINE

ClampLoop:
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = clamped<data_T, CONFIG_T>(data[i]);
    }
}

template <class data_T, class res_T, typename CONFIG_T> void clamp(hls::stream<data_T> &data, hls::stream<res_T> &res) {
ClampLoop:
    for (unsigned i = 0; i < CONFIG_T::n_in / res_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in_data = data.read();
        res_T out_data;
        PRAGMA_DATA_PACK(out_data)

    ClampPack:
        for (unsigned j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            out_data[j] = clamped<typename data_T::value_type, CONFIG_T>(in_data[j]);
        }
        res.write(out_data);
    }
}

} // namespace nnet

#endif
